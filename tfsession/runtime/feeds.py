"""Feeds: from the keys and values of a feed_dict to tensors and host arrays.

`convert_feed` is the rule in full; `converter` prepares it for one tensor, so that what programs
feed most (an array of the right dtype, a Python number) costs a fraction of a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MappingView
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core import dtypes
from tfsession.core.dtypes import DType
from tfsession.core.errors import InternalError, InvalidArgumentError
from tfsession.core.shape import Shape, shape_text
from tfsession.devices.interchange import host_array, is_device_array, speaks_dlpack
from tfsession.devices.transfer import Memory, start_copy
from tfsession.graph.composite import composite_type_of
from tfsession.graph.graph import Graph
from tfsession.graph.tensor import Tensor
from tfsession.graph.tensor_handle import TensorHandle
from tfsession.runtime.fetches import attrs_values, is_attrs

Array = np.ndarray[Any, np.dtype[Any]]
Converter = Callable[[Any], Any]

# Whole numbers up to here are exact as float64, so that they round once on the way to any float.
_EXACT: Final = 1 << 53
# Py_TPFLAGS_HEAPTYPE.
_MADE_AT_RUN_TIME: Final = 1 << 9


class Feed(NamedTuple):
    """A tensor to feed and its value.

    `key` and `given` are the item of the feed_dict of which they are, or are a part.
    """

    tensor: Tensor
    key: Any
    value: Any
    given: Any


def expand_feeds(graph: Graph, feed_dict: Any) -> Iterator[Feed]:
    """The single tensors that a feed_dict feeds, in its order.

    Raises:
        TypeError: the feeds are no mapping, or a key stands for no tensor of the graph.
        ValueError: a tuple of keys and its values differ in length, or name a tensor twice.
    """
    if not isinstance(feed_dict, Mapping):
        raise TypeError(
            "FlattenDictItems: 'dict' must be a dictionary or collection.Mapping type object, "
            f"instead of '{type(feed_dict).__name__}'."
        )
    for key, value in _flat_items(feed_dict).items():
        composite = composite_type_of(key)
        parts = [(key, value)]
        if composite is not None:
            # Stops at the shorter one: components without a value stay unfed.
            parts = list(zip(composite.components(key), composite.expand(value), strict=False))
        for part, part_value in parts:
            try:
                tensor = graph.as_graph_element(part, allow_operation=False)
            except Exception as error:
                raise TypeError(
                    f"Cannot interpret feed_dict key as Tensor: {error.args[0]}"
                ) from None
            assert isinstance(tensor, Tensor)
            yield Feed(tensor, key, part_value, value)


_SINGLE = frozenset({Tensor, str})


def single_feeds(feed_dict: Any) -> Any:
    """A dict with the components in the place of the composites that it feeds, if that is easy.

    What would be an error, or can be read only once, is left for `expand_feeds` to look at.
    """
    if type(feed_dict) is not dict or _SINGLE.issuperset(map(type, feed_dict)):
        return feed_dict
    single: dict[Any, Any] = {}
    for key, value in feed_dict.items():
        composite = None if type(key) in _SINGLE else composite_type_of(key)
        if composite is None:
            single[key] = value
            continue
        if composite.expand is iter and not isinstance(value, list | tuple):
            return feed_dict
        try:
            parts = list(composite.expand(value))
        except Exception:
            return feed_dict
        if any(isinstance(part, Tensor) for part in parts):
            return feed_dict
        single.update(zip(composite.components(key), parts, strict=False))
    return single


def _flat_items(feed_dict: Mapping[Any, Any]) -> dict[Any, Any]:
    flat: dict[Any, Any] = {}
    for key, value in feed_dict.items():
        keys, values = [key], [value]
        if _is_nest(key):
            keys, values = _flatten(key), _flatten(value)
            if len(keys) != len(values):
                raise ValueError(
                    f"Could not flatten dictionary. Key had {len(keys)} elements, but value had "
                    f"{len(values)} elements. Key: {keys}, value: {values}."
                )
        for single, single_value in zip(keys, values, strict=True):
            if single in flat:
                raise ValueError(f"Cannot flatten dict because this key is not unique: {single}")
            flat[single] = single_value
    return flat


def _is_nest(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping | MappingView) or is_attrs(value)


def _flatten(nest: Any) -> list[Any]:
    if not _is_nest(nest):
        return [nest]
    items = nest
    if isinstance(nest, Mapping):
        items = [nest[key] for key in sorted(nest)]
    elif is_attrs(nest):
        items = attrs_values(nest)
    return [leaf for item in items for leaf in _flatten(item)]


def check_feedable(graph: Graph, tensor: Tensor) -> None:
    """Raise ValueError when the graph refuses to feed `tensor`."""
    if not graph.is_feedable(tensor):
        raise ValueError(f"Tensor {tensor.name} may not be fed.")


def convert_feed(tensor: Tensor, key: Any, value: Any, given: Any) -> Array:
    """`value` as a host array that can be fed for `tensor`, itself where nothing has to change.

    The arguments are those of a `Feed`. Texts stay str or bytes here; `encode_strings` makes them
    bytes.

    Raises:
        DeviceFeed: `value` is an array of a device, or (HandleFeed) a TensorHandle.
        TypeError: `value` is a Tensor, does not suit the dtype, or nothing can be fed at all.
        ValueError: it has a shape that does not fit, or no regular shape.
        OverflowError: it holds an int that no float can hold.
    """
    if isinstance(value, Tensor):
        raise TypeError(
            "The value of a feed cannot be a tf.Tensor object. Acceptable feed values include "
            "Python scalars, strings, lists, numpy ndarrays, or TensorHandles. For reference, the "
            f"tensor object was {given} which was passed to the argument `feed_dict` with key "
            f"{key}."
        )
    dtype = _numpy_compatible(tensor)
    if isinstance(value, int):
        _check_int(value, dtype)
    elif not isinstance(value, np.ndarray):
        value = _host_array(value)
    if np.issubdtype(dtype.numpy, np.number):
        array = np.asarray(value).astype(dtype.numpy, copy=False)
        if array.dtype.num != dtype.numpy.num:  # of the same bytes, by another C name
            array = array.view(dtype.numpy)
    else:
        array = np.asarray(value, dtype=dtype.numpy)
    _check_shape(tensor, array.shape)
    return array


def _numpy_compatible(tensor: Tensor) -> DType:
    dtype = tensor.dtype.base_dtype
    if not dtype.is_numpy_compatible:
        raise TypeError(
            f"Tensor {tensor.name} of type {dtype.name} cannot be fed: Python has no such values."
        )
    return dtype


def _check_devices_have(tensor: Tensor) -> None:
    if _numpy_compatible(tensor) is dtypes.string:
        raise TypeError(f"Tensor {tensor.name} of texts cannot be fed with an array of a device.")


def _check_shape(tensor: Tensor, shape: tuple[int, ...]) -> None:
    if not _fits(shape, tensor._shape):
        raise ValueError(
            f"Cannot feed value of shape {shape} for Tensor {tensor.name}, which has shape "
            f"{shape_text(tensor._shape)}"
        )


def _host_array(value: Any) -> Any:
    """An array of another library as NumPy's over the same memory; anything else as it is."""
    if isinstance(value, TensorHandle):
        raise HandleFeed
    if is_device_array(value):
        raise DeviceFeed
    return host_array(value) if speaks_dlpack(value) else value


class DeviceFeed(Exception):
    """A value that lies on a device was fed where one of the host was expected."""


class HandleFeed(DeviceFeed):
    """The handle of a tensor that the session keeps was fed."""


def resident_converter(tensor: Tensor, memory: Memory) -> Converter:
    """Takes arrays of a device's memory for one tensor: themselves, if they have its dtype.

    Raises:
        DeviceFeed: from the converter, for what does not lie there.
        TypeError: the tensor is of a type that no device holds.
    """
    assert memory is not None
    _check_devices_have(tensor)
    adopt, numpy_dtype = memory.adopt, tensor.dtype.numpy

    def convert(value: Any) -> Any:
        array = adopt(value) if is_device_array(value) else None
        if array is None:
            raise DeviceFeed
        _check_shape(tensor, array.shape)
        if array.dtype != numpy_dtype:
            with memory.activate():
                array = array.astype(numpy_dtype)
            memory.hand_out()  # a step that runs nothing may give it back to the program
        return array

    return convert


def _check_int(value: int, dtype: DType) -> None:
    if dtype.is_integer:
        suits = dtype.min <= value <= dtype.max
    elif dtype.is_bool:
        suits = value in (0, 1)
    elif dtype is dtypes.string:
        suits = False
    elif type(value) is int or type(value) is bool:
        suits = True  # rounded
    else:  # NumPy does not take an int of a class of its own for a weak one
        suits = bool(np.asarray(value).astype(dtype.numpy) == np.asarray(value))
    if not suits:
        raise TypeError(
            f"Type of feed value {value} with type {type(value)} is not compatible with Tensor "
            f"type {dtype.as_numpy_dtype}. Try explicitly setting the type of the feed tensor to "
            "a larger type (e.g. int64)."
        )


def _fits(shape: tuple[int, ...], static: Shape) -> bool:
    if static is None or shape == static:
        return True
    if len(shape) != len(static):
        return False
    for size, wanted in zip(shape, static, strict=True):
        if wanted is not None and wanted != size:
            return False
    return True


def converter(tensor: Tensor, key: Any) -> Converter:
    """`convert_feed` for one tensor, with shortcuts for what programs feed most."""
    dtype = tensor.dtype.base_dtype
    if dtype in _FLOATS:
        return _number_converter(tensor, key, float, -_EXACT, _EXACT)
    if dtype.is_integer and dtype.numpy.kind in "iu":
        return _number_converter(tensor, key, int, dtype.min, dtype.max)
    if dtype.is_bool:
        return _number_converter(tensor, key, bool, 1, 0)
    return lambda value: convert_feed(tensor, key, value, value)


_FLOATS: Final = (dtypes.float16, dtypes.float32, dtypes.float64)


def _number_converter(tensor: Tensor, key: Any, kind: type, least: int, most: int) -> Converter:
    """Takes arrays and scalars of NumPy, and Python numbers of `kind`, or ints between bounds."""
    numpy_dtype = tensor.dtype.numpy
    scalar = numpy_dtype.type
    takes_any = kind is not int  # an int of any size is of the kind, but must be in bounds
    asarray = np.asarray

    def convert(value: Any) -> Any:
        given = type(value)
        if given is np.ndarray:
            if value.dtype is numpy_dtype and _fits(value.shape, tensor._shape):
                return value
        elif not tensor._shape and (  # a scalar, or of unknown rank
            (given is kind and takes_any)
            or given is scalar
            or (given is int and least <= value <= most)
        ):
            return asarray(value, numpy_dtype)
        return convert_feed(tensor, key, value, value)

    return convert


def typed_converter(tensor: Tensor, argument: str) -> Converter:
    """Takes host arrays of the dtype of one tensor; nothing is cast.

    Args:
        tensor: the tensor that is fed.
        argument: the name of the node that stands for it in errors.

    Raises:
        InvalidArgumentError: from the converter, for a value of another dtype, or for what NumPy
            makes no array of.
        InternalError: from the converter, for what no tensor holds.
    """
    numpy_dtype = _numpy_compatible(tensor).numpy
    is_text = tensor.dtype.base_dtype is dtypes.string

    def convert(value: Any) -> Any:
        if type(value) is not np.ndarray:
            value = _any_array(value)
        if value.dtype is not numpy_dtype or is_text:
            value = _typed(tensor, argument, value)
        if value.shape != tensor._shape:
            _check_shape(tensor, value.shape)
        return value

    return convert


def _any_array(value: Any) -> Array:
    try:
        return np.asarray(_host_array(value))
    except DeviceFeed:
        raise
    except Exception as error:
        raise InvalidArgumentError(None, None, f"Not a ndarray. {error}") from None


def _typed(tensor: Tensor, argument: str, array: Array) -> Array:
    if array.dtype.kind in "OSU":
        array, dtype = encode_strings(array.astype(object)), dtypes.string
    else:
        try:
            dtype = dtypes.as_dtype(array.dtype)
        except TypeError:
            raise InternalError(None, None, f"Unsupported numpy type: {array.dtype}") from None
    check_dtype(tensor, argument, dtype)
    return array.astype(tensor.dtype.numpy, copy=False)  # in this machine's byte order


def check_dtype(tensor: Tensor, argument: str, actual: DType) -> None:
    """Raise InvalidArgumentError for a value of another dtype than the tensor's."""
    if actual is not tensor.dtype.base_dtype:
        raise InvalidArgumentError(
            None,
            None,
            f"Type mismatch: actual {actual.op_def_name} vs. expect "
            f"{tensor.dtype.base_dtype.op_def_name}\n\t [[{{{{node {argument}}}}}]]",
        )


def typed_resident_converter(
    tensor: Tensor, argument: str, memory: Memory, adopt: Callable[[Any], tuple[Any, Memory] | None]
) -> Converter:
    """As `typed_converter`, for a feed in a device's memory: what lies elsewhere is copied there.

    `adopt` gives the array of a device that a value is, and its memory, or None.
    """
    _check_devices_have(tensor)
    from_host = typed_converter(tensor, argument)

    def convert(value: Any) -> Any:
        found = adopt(value)
        if found is None:
            return start_copy(from_host(value), None, memory)
        array, source = found
        check_dtype(tensor, argument, dtypes.as_dtype(array.dtype))
        _check_shape(tensor, array.shape)
        return start_copy(array, source, memory)

    return convert


def encoded(tensor: Tensor, value: Any) -> Any:
    """A converted feed as a plan takes it: texts as bytes; raises as `encode_strings` does."""
    return encode_strings(value) if tensor.dtype.base_dtype is dtypes.string else value


def encode_strings(array: Array) -> Array:
    """The texts of a fed array as bytes.

    Raises:
        InternalError: an element is no text, or cannot be encoded.
    """
    texts = array.ravel().tolist()
    if all(type(text) is bytes for text in texts):
        return array
    encoded = np.empty(len(texts), object)
    encoded[:] = [_encode(text) for text in texts]
    return encoded.reshape(array.shape)


def _c_name(kind: type) -> str:
    """The name of a type as C code sees it: with the module, unless Python code made it."""
    is_of_python = kind.__flags__ & _MADE_AT_RUN_TIME or kind.__module__ == "builtins"
    return kind.__name__ if is_of_python else f"{kind.__module__}.{kind.__name__}"


def _encode(text: Any) -> bytes:
    if isinstance(text, bytes):
        return bytes(text)
    if not isinstance(text, str):
        raise InternalError(None, None, f"Unsupported object type {_c_name(type(text))}")
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    raise InternalError(None, None, "Unable to convert element to UTF-8")
