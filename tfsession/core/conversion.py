"""Python values as arrays: which element type TensorFlow infers, and what it refuses.

Values of plain Python numbers or texts, and ordinary arrays, take a short way (`_quick`);
everything else goes through `convert`, which looks at each leaf and knows the error texts.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from tfsession.core import dtypes
from tfsession.core.dimension import Dimension
from tfsession.core.dtypes import DType, as_dtype

Array = np.ndarray[Any, np.dtype[Any]]

_FLOAT32: Final = np.dtype(np.float32)
_INT32: Final = np.dtype(np.int32)
_OBJECT: Final = np.dtype(object)

_FLOATS: Final = frozenset({float})
_INTS: Final = frozenset({int, bool})
_BOOLS: Final = frozenset({bool})
_REALS: Final = frozenset({float, int, bool})
_TEXTS: Final = frozenset({str, bytes})

# Arrays and scalars of these NumPy types are tensors as they are.
_TENSOR_TYPES: Final = frozenset(
    d.numpy for d in dtypes.ALL_DTYPES if d.is_numpy_compatible and d is not dtypes.string
)
_SCALARS: Final = frozenset(d.type for d in _TENSOR_TYPES if issubclass(d.type, np.generic))


def to_ndarray(
    value: Any,
    dtype: Any = None,
    shape: Any = None,
    verify_shape: bool = False,
    allow_broadcast: bool = False,
) -> Array:
    """A new array of `value`, of the type that TensorFlow infers or of `dtype`.

    Python floats become float32, ints int32 (int64 or uint64 where they do not fit), texts an
    object array of bytes; NumPy arrays keep their type. With `shape`, the values are laid out in
    that shape and the last one repeats; a single value gives a read-only view of stride 0.

    Raises:
        TypeError: a value does not suit `dtype`, or suits no type.
        ValueError: None, ragged sequences, or more values than `shape` holds.
    """
    wanted = dtype if dtype is None else as_dtype(dtype).base_dtype
    array = _quick(value, wanted)
    if shape is None:
        return convert(value, wanted) if array is None else array
    sizes = _sizes(shape)
    if array is None or 0 in sizes:
        array = convert(value, wanted, sizes)
    fit_shape(array, sizes, verify_shape, allow_broadcast)
    repeats = array.size == 1 and math.prod(sizes) > 1
    return _repeat(array, sizes) if repeats else fill(array, sizes)


def _sizes(shape: Any) -> tuple[int, ...]:
    return tuple(map(int, shape))


def fit_shape(
    array: Array, shape: Any, verify_shape: bool = False, allow_broadcast: bool = False
) -> tuple[int, ...]:
    """`shape` as a tuple, once it is sure that `array` may fill it.

    Raises:
        TypeError: with `verify_shape`, another shape; with `allow_broadcast`, another number of
            values than one or all.
        ValueError: more values than `shape` holds, or both flags.
    """
    if verify_shape and allow_broadcast:
        raise ValueError("allow_broadcast and verify_shape are not both allowed.")
    sizes = _sizes(shape)
    if array.shape == sizes:
        return sizes
    room = math.prod(sizes)
    if verify_shape or (allow_broadcast and array.size != room and array.shape not in ((), (1,))):
        raise TypeError(f"Expected Tensor's shape: {sizes}, but got {array.shape}.")
    if array.size > room:
        raise ValueError(f"Too many elements provided. Takes at most {room}, but got {array.size}.")
    return sizes


def fill(array: Array, sizes: tuple[int, ...]) -> Array:
    """The values of `array` in the shape `sizes`; the last one repeats, zeros if there is none.

    It shares memory with `array` where there is nothing to repeat. More values than `sizes` holds
    are a ValueError.
    """
    room = math.prod(sizes)
    if array.size > room:
        raise ValueError(f"cannot reshape array of size {array.size} into shape {sizes}")
    if array.size == room:
        return array.reshape(sizes)
    filled: Array = np.zeros(room, array.dtype)
    if array.size:
        filled[: array.size] = array.ravel()
        filled[array.size :] = filled[array.size - 1]
    elif array.dtype == _OBJECT:
        filled[:] = b""
    return filled.reshape(sizes)


def _repeat(array: Array, sizes: tuple[int, ...]) -> Array:
    """The only element of `array` as a view of shape `sizes`."""
    if array.dtype.kind not in "biufc":
        return np.broadcast_to(array.reshape(()), sizes)
    # The same without the 10 us that broadcast_to takes; it needs a type with a buffer protocol.
    view: Array = np.ndarray(sizes, array.dtype, array, strides=(0,) * len(sizes))
    view.flags.writeable = False
    return view


# --- the short way --------------------------------------------------------------------------------


def _quick(value: Any, dtype: DType | None) -> Array | None:
    """The array of an ordinary value, or None for what `convert` has to look at."""
    kind = type(value)
    try:
        if dtype is not None:
            return _quick_as(value, kind, dtype)
        if kind is float:
            return np.array(value, _FLOAT32)
        if kind is int:
            return np.array(value, _INT32)
        if kind is np.ndarray:
            return np.array(value, order="C") if value.dtype in _TENSOR_TYPES else None
        if kind is list or kind is tuple:
            return _quick_sequence(value)
        if kind in _TEXTS:
            return _encode_one(value)
        if kind is bool or kind in _SCALARS:
            return np.array(value)
    except (OverflowError, ValueError):  # out of range, ragged
        pass
    return None


def _quick_as(value: Any, kind: type, dtype: DType) -> Array | None:
    if kind is np.ndarray:
        suits = value.dtype in _TENSOR_TYPES and dtype.numpy in _TENSOR_TYPES
        return value.astype(dtype.numpy, order="C") if suits else None
    plain = _PLAIN_LEAVES.get(dtype)
    if plain is None:
        return None
    if kind is list or kind is tuple:
        if not plain.issuperset(_leaf_types(value)):
            return None
        return _quick_texts(value) if plain is _TEXTS else np.array(value, dtype.numpy)
    if kind not in plain:
        return None
    return _encode_one(value) if plain is _TEXTS else np.array(value, dtype.numpy)


def _quick_sequence(value: Sequence[Any]) -> Array | None:
    kinds = _leaf_types(value)
    if kinds <= _FLOATS:
        return np.array(value, _FLOAT32)
    if kinds == _BOOLS:
        return np.array(value)
    if kinds <= _INTS:
        return np.array(value, _INT32)
    if kinds <= _REALS:
        # One of objects where an int has more than 64 bits: TensorFlow refuses it.
        array = np.array(value)
        return None if array.dtype == _OBJECT else array.astype(_FLOAT32)
    return _quick_texts(value) if kinds <= _TEXTS else None


def _quick_texts(value: Sequence[Any]) -> Array | None:
    array = np.array(value, _OBJECT)
    return _encode(array) if _is_dense(value, array) else None


def _leaf_types(value: Sequence[Any]) -> set[type]:
    """The types of what nested lists and tuples hold."""
    kinds = set(map(type, value))
    if list in kinds or tuple in kinds:
        kinds -= {list, tuple}
        for item in value:
            if type(item) is list or type(item) is tuple:
                kinds |= _leaf_types(item)
    return kinds


def _plain_leaves(dtype: DType) -> frozenset[type] | None:
    if dtype.is_bool:
        return _BOOLS
    if dtype.is_integer:
        return _INTS
    if dtype.is_floating:
        return _REALS
    if dtype is dtypes.string:
        return _TEXTS
    return _REALS | {complex} if dtype.is_complex else None


_PLAIN_LEAVES: Final = {d: p for d in dtypes.ALL_DTYPES if (p := _plain_leaves(d)) is not None}


# --- the long way ---------------------------------------------------------------------------------


def convert(value: Any, dtype: DType | None, shape: Any = None, copy: bool = True) -> Array:
    """The array of any `value`, in its own shape.

    Without `copy` it may share memory with `value`. Where `shape` holds no element the values of a
    Python sequence do not matter: the array is empty. The errors are those of `to_ndarray`.
    """
    if value is None:
        raise ValueError("None values not supported.")
    if _is_array_like(value):
        return _from_array(np.asarray(value), dtype, copy)
    if shape is not None and math.prod(sizes := _sizes(shape)) == 0:
        wanted = dtypes.float32 if dtype is None else dtype
        return _from_array(np.empty(sizes, wanted.numpy), dtype, copy=False)
    if dtype is None:
        return _infer(value)
    _check_leaves(value, dtype)
    if dtype is dtypes.string:
        array = _texts(value)
    elif dtype.numpy.kind in "iu" or not dtype.is_numpy_compatible:
        array = np.array(value)
    else:
        array = np.array(value, dtype.numpy)
    if not dtype.is_quantized:
        _check_dense(value, array)
    if not dtype.is_numpy_compatible:
        raise _incompatible(dtype, value, array)
    # Integers out of range wrap around, as they do when an array is cast.
    return array.astype(dtype.numpy, copy=False)


def _is_array_like(value: Any) -> bool:
    if _is_symbolic(value) or (isinstance(value, (str, bytes)) and type(value) in _TEXTS):
        return False
    kind = type(value)
    if hasattr(kind, "__array__") or hasattr(kind, "__array_interface__"):
        return True
    try:
        memoryview(value)
    except TypeError:
        return False
    return True


def _is_symbolic(value: Any) -> bool:
    return hasattr(type(value), "value_index")


def _incompatible(dtype: DType, value: Any, array: Array) -> TypeError:
    return TypeError(f"`dtype` {dtype} is not compatible with {value} of dtype {array.dtype}.")


def _from_array(array: Array, dtype: DType | None, copy: bool) -> Array:
    wanted = as_dtype(array.dtype) if dtype is None else dtype
    if not wanted.is_numpy_compatible:
        raise _incompatible(wanted, array, array)
    if wanted is dtypes.string:
        return _encode(array)
    return array.astype(wanted.numpy, order="C", copy=copy)


def _infer(value: Any) -> Array:
    """The array of Python values of no given type."""
    leaves = list(_leaves(value))
    if any(map(_is_symbolic, leaves)):
        raise TypeError("Expected any non-tensor type, but got a tensor instead.")
    is_text = bool(leaves) and all(isinstance(leaf, (str, bytes)) for leaf in leaves)
    if is_text:
        if not _is_dense(value, np.array(value, _OBJECT)):
            np.array(value)  # NumPy's own error for ragged sequences
        array = _texts(value)
    else:
        array = np.array(value)
    _check_dense(value, array)
    if array.dtype.kind in "OUS" and not is_text:
        raise TypeError(
            f"Failed to convert elements of {value} to Tensor. "
            "Consider casting elements to a supported type."
        )
    if array.dtype == np.float64:
        return array.astype(_FLOAT32)
    if array.dtype == np.int64:
        narrow = array.astype(_INT32)
        return narrow if np.array_equal(narrow, array) else array
    return array.astype(as_dtype(array.dtype).numpy, copy=False)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _quantized_leaves(value: Any) -> Iterator[Any]:
    """As `_leaves`, but for the ints of a tuple: NumPy writes such an element as `(1,)`."""
    if isinstance(value, list):
        for item in value:
            yield from _quantized_leaves(item)
    elif isinstance(value, tuple):
        yield from (item for item in value if not isinstance(item, int))
    else:
        yield value


def _leaf_classes(dtype: DType) -> tuple[type, ...]:
    if dtype is dtypes.string:
        return str, bytes
    if dtype.is_bool:
        return (bool,)
    if dtype.is_integer:
        return numbers.Integral, Dimension
    if dtype.is_floating:
        return (numbers.Real,)
    return (numbers.Complex,) if dtype.is_complex else ()


def _check_leaves(value: Any, dtype: DType) -> None:
    """Raise TypeError for the first leaf that does not suit `dtype`."""
    classes = _leaf_classes(dtype)
    for leaf in _quantized_leaves(value) if dtype.is_quantized else _leaves(value):
        kind = leaf.dtype.type if isinstance(leaf, np.ndarray) else type(leaf)
        anything = not dtype.is_numpy_compatible and not _is_symbolic(leaf)
        if not (anything or issubclass(kind, classes)):
            raise TypeError(
                f"Expected {dtype.name}, but got {leaf} of type {type(leaf).__name__!r}."
            )


def _dense_shape(value: Any) -> tuple[int, ...]:
    """The shape that the first elements of nested lists and tuples promise."""
    sizes = []
    while isinstance(value, (list, tuple)):
        sizes.append(len(value))
        if not value:
            break
        value = value[0]
    return tuple(sizes)


def _is_dense(value: Any, array: Array) -> bool:
    """Whether `array` has the shape of `value` and no ragged part was left as a list in it."""
    if array.shape != _dense_shape(value):
        return False
    if array.dtype != _OBJECT:
        return True
    return not any(isinstance(item, (list, tuple)) for item in array.ravel().tolist())


def _check_dense(value: Any, array: Array) -> None:
    if not _is_dense(value, array):
        raise ValueError(
            f"Expected values {value} to be a dense tensor with shape "
            f"{list(_dense_shape(value))}, but got shape {list(array.shape)}."
        )


def _texts(value: Any) -> Array:
    """Nested texts as an object array; a ragged part stays a list in it, for `_check_dense`."""
    array = np.array(value, _OBJECT)
    return _encode(array) if _is_dense(value, array) else array


def _encode(array: Array) -> Array:
    encoded: Array = np.empty(array.size, _OBJECT)
    encoded[:] = [_as_bytes(text) for text in array.ravel().tolist()]
    return encoded.reshape(array.shape)


def _encode_one(text: str | bytes) -> Array:
    encoded: Array = np.empty((), _OBJECT)
    encoded[()] = _as_bytes(text)
    return encoded


def _as_bytes(text: Any) -> bytes:
    if isinstance(text, bytes):
        return bytes(text)
    if isinstance(text, str):
        return text.encode()
    raise TypeError(f"Expected binary or unicode string, got {text!r}")
