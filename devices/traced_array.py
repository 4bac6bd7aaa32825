"""The array of a module that computes nothing: it stands for a value of a program.

Dtypes follow NumPy's rules. Whatever looks at elements, or is not known here, raises Untraceable.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import ml_dtypes
import numpy as np

from tfsession.devices.program import (
    DTYPES,
    FUNCTIONS,
    REDUCTIONS,
    Recorder,
    Sizes,
    Step,
    Value,
)

__all__ = [
    "NUMPYS_BOOL",
    "TracedArray",
    "Untraceable",
    "called",
    "cast",
    "dtype_named",
    "is_python",
    "kind_of",
    "mean",
    "new_step",
    "operand",
    "recording",
    "reduced",
    "reduction",
    "write",
]

NUMPYS_BOOL = np.dtype(bool)
_BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
_EVERYTHING = slice(None)
# NumPy would write these into their first argument, if nothing else is said.
_IN_PLACE_CASTING = "same_kind"

_here = threading.local()


class Untraceable(Exception):
    """A kernel does what no program can."""


def dtype_named(name: str) -> np.dtype[Any]:
    """The dtype of a value, by its name."""
    return _BFLOAT16 if name == "bfloat16" else np.dtype(name)


def kind_of(dtype: np.dtype[Any]) -> str:
    """The kind of number, as `FUNCTIONS` has them."""
    if dtype.name not in DTYPES:
        raise Untraceable(f"numbers of {dtype}")
    return "f" if dtype == _BFLOAT16 else dtype.kind


@contextmanager
def recording(recorder: Recorder) -> Iterator[None]:
    """What is traced in the block is noted there."""
    before = getattr(_here, "recorder", None)
    _here.recorder = recorder
    try:
        yield
    finally:
        _here.recorder = before


def new_step(step: Step) -> int:
    """The number of what a step gives, in the program that is being traced."""
    found: Recorder | None = getattr(_here, "recorder", None)
    if found is None:
        raise Untraceable("nothing is being traced")
    return found.add(step)


class TracedArray:
    """A value of a program; or, as `literal` in its shape, one that is known."""

    __slots__ = ("_literal", "_number", "dtype", "shape")

    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self, dtype: np.dtype[Any], shape: Sizes, number: int | None = None, literal: Any = None
    ) -> None:
        self.dtype = dtype
        self.shape = shape
        self._number = number
        self._literal = literal

    def number(self) -> int:
        """The number of the value; what is known gets one when it is asked for."""
        if self._literal is not None:
            text = repr(self._literal.item())
            point = Value(self.dtype.name, ())
            number = new_step(Step("literal", (), point, text=text))
            return _shaped(number, point, self.shape, ())
        if self._number is None:
            raise Untraceable("memory is read before it is written")
        return self._number

    @property
    def known(self) -> Any:
        """The NumPy scalar that this is in every place; None if it is not known."""
        return self._literal

    # --- as arrays have them --------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return int(self.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def real(self) -> TracedArray:
        """Itself: there are no complex numbers here."""
        return self

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self._looked_at())

    def __int__(self) -> int:
        return int(self._looked_at())

    def __float__(self) -> float:
        return float(self._looked_at())

    def __index__(self) -> int:
        return int(self._looked_at().__index__())

    def item(self) -> Any:
        """The element, if it is known."""
        return self._looked_at().item()

    def _looked_at(self) -> Any:
        if self._literal is None or self.size != 1:
            raise Untraceable("an element is looked at")
        return self._literal

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise Untraceable("elements are looked at")

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            raise Untraceable(f"{ufunc.__name__}.{method}")
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return called(ufunc.__name__, *inputs, **kwargs)

    def astype(self, dtype: Any, copy: bool = True, **_: Any) -> TracedArray:
        """The same numbers in another type."""
        return cast(self, np.dtype(dtype), copy)

    def copy(self, *_: Any) -> TracedArray:
        """An array of its own."""
        return TracedArray(self.dtype, self.shape, self._number, self._literal)

    def conj(self) -> TracedArray:
        """Itself: there are no complex numbers here."""
        return self

    conjugate = conj

    def fill(self, value: Any) -> None:
        """Every element becomes this."""
        write(self, operand(value, self.dtype), "unsafe")

    def reshape(self, *shape: Any, **_: Any) -> TracedArray:
        """The same elements, where axes of size 1 are all that comes and goes."""
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        wanted = [int(size) for size in sizes]
        if -1 in wanted:
            rest = math.prod(size for size in wanted if size != -1)
            wanted[wanted.index(-1)] = self.size // max(rest, 1)
        if math.prod(wanted) != self.size:
            raise ValueError(f"cannot reshape array of size {self.size} into shape {tuple(wanted)}")
        return _reshaped(self, tuple(wanted))

    def ravel(self, *_: Any) -> TracedArray:
        """As one vector."""
        return self.reshape(self.size)

    def __getitem__(self, index: Any) -> TracedArray:
        return _reshaped(self, _indexed_shape(self.shape, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        if _indexed_shape(self.shape, index) != self.shape:
            raise Untraceable("a part of an array is written")
        write(self, operand(value, self.dtype), "unsafe")


def is_python(value: Any) -> bool:
    """Whether this is a number of Python's, whose dtype is that of what stands beside it."""
    return type(value) in (bool, int, float)


def operand(value: Any, other: np.dtype[Any] | None = None) -> TracedArray:
    """Anything that stands beside arrays as one; Python's numbers in the dtype of the other."""
    if isinstance(value, TracedArray):
        return value
    if other is not None and is_python(value):
        value = other.type(value)
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if not isinstance(value, np.generic):
        raise Untraceable(f"an operand of {type(value)}")
    kind_of(value.dtype)
    return TracedArray(value.dtype, (), literal=value)


# --- ufuncs ---------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 12)
def _resolved(name: str, kinds: tuple[Any, ...]) -> tuple[np.dtype[Any], ...]:
    """The dtypes in which a ufunc computes, and that of its result, as NumPy has them."""
    ufunc: np.ufunc = getattr(np, name)
    if name not in FUNCTIONS or ufunc.nout != 1 or ufunc.nin != len(kinds):
        raise Untraceable(f"{name} of {len(kinds)}")
    loops = ufunc.resolve_dtypes((*kinds, None))
    if len(set(loops[:-1])) != 1 or kind_of(loops[0]) not in FUNCTIONS[name]:
        raise Untraceable(f"{name} of {loops[:-1]}")
    kind_of(loops[-1])
    return tuple(loops)


def _kind_of_operand(value: Any) -> Any:
    """What NumPy's rules look at: the dtype, or for a number of Python its type."""
    if is_python(value):
        return NUMPYS_BOOL if type(value) is bool else type(value)
    return operand(value).dtype


def called(
    name: str, *values: Any, out: Any = None, dtype: Any = None, casting: str = "same_kind"
) -> TracedArray:
    """What a ufunc gives for these."""
    if len(values) > 1 and len(values) == _nin(name) + 1 and out is None:
        *values, out = values  # type: ignore[assignment]
    kinds = tuple([_kind_of_operand(value) for value in values])
    try:
        if all(isinstance(kind, type) and not isinstance(kind, np.dtype) for kind in kinds):
            kinds = tuple([np.asarray(value).dtype for value in values])
        *loops, made = _resolved(name, kinds if dtype is None else _told(kinds, np.dtype(dtype)))
        operands = [operand(v, loops[0]) for v in values]
    except (TypeError, OverflowError) as error:
        raise Untraceable(str(error)) from None
    shape = np.broadcast_shapes(*[operand.shape for operand in operands])
    if all(operand.known is not None for operand in operands):
        with np.errstate(all="ignore"):
            known = getattr(np, name)(*[operand.known.astype(loops[0]) for operand in operands])
        result = TracedArray(made, shape, literal=np.asarray(known, made)[()])
    else:
        own = tuple([cast(operand, loops[0], copy=False).number() for operand in operands])
        step = Step(name, own, Value(made.name, shape), loops[0].name)
        result = TracedArray(made, shape, new_step(step))
    if out is None:
        return result
    write(out, result, casting)
    written: TracedArray = out
    return written


def _nin(name: str) -> int:
    ufunc = getattr(np, name, None)
    return int(ufunc.nin) if isinstance(ufunc, np.ufunc) else 99


def _told(kinds: tuple[Any, ...], dtype: np.dtype[Any]) -> tuple[Any, ...]:
    return tuple([dtype for _ in kinds])


def cast(array: TracedArray, dtype: np.dtype[Any], copy: bool = True) -> TracedArray:
    """The same numbers in another type, as an array of its own if it is a `copy`."""
    kind_of(dtype)
    if array.dtype == dtype:
        return array.copy() if copy else array
    if array.known is not None:
        with np.errstate(all="ignore"):
            return TracedArray(dtype, array.shape, literal=array.known.astype(dtype))
    value = Value(dtype.name, array.shape)
    step = Step("astype", (array.number(),), value, array.dtype.name)
    return TracedArray(dtype, array.shape, new_step(step))


def write(out: Any, result: TracedArray, casting: Any) -> None:
    """`out` becomes the result; other names of it do, too."""
    if not isinstance(out, TracedArray):
        raise Untraceable(f"written to {type(out)}")
    if not np.can_cast(result.dtype, out.dtype, casting):
        raise Untraceable(f"{result.dtype} written as {out.dtype}")
    if np.broadcast_shapes(result.shape, out.shape) != out.shape:
        raise Untraceable(f"{result.shape} written to {out.shape}")
    made = cast(result, out.dtype, copy=False)
    if made.known is not None:
        out._number, out._literal = None, made.known
        return
    number = _shaped(made.number(), Value(made.dtype.name, made.shape), out.shape)
    out._number, out._literal = number, None


# --- shapes ---------------------------------------------------------------------------------------


def _shaped(number: int, value: Value, shape: Sizes, axes: Sizes | None = None) -> int:
    """A value in another shape; `axes` as Step has them, by default those counted from the last."""
    if value.shape == shape:
        return number
    if axes is None:
        first = len(shape) - len(value.shape)
        axes = tuple(range(first, len(shape)))
    return new_step(Step("view", (number,), Value(value.dtype, shape), axes=axes))


def _reshaped(array: TracedArray, shape: Sizes) -> TracedArray:
    if shape == array.shape:
        return array
    if array.known is not None:
        return TracedArray(array.dtype, shape, literal=array.known)
    kept = [axis for axis, size in enumerate(shape) if size != 1]
    if [shape[axis] for axis in kept] != [size for size in array.shape if size != 1]:
        raise Untraceable(f"{array.shape} becomes {shape}")
    places = iter(kept)
    axes = tuple([-1 if size == 1 else next(places) for size in array.shape])
    value = Value(array.dtype.name, array.shape)
    return TracedArray(array.dtype, shape, _shaped(array.number(), value, shape, axes))


def _indexed_shape(shape: Sizes, index: Any) -> Sizes:
    """The shape of what an index takes: everything, maybe with new axes."""
    items = list(index) if isinstance(index, tuple) else [index]
    if not all(item is None or item is Ellipsis or type(item) in (slice, int) for item in items):
        raise Untraceable(f"elements {index} of {shape}")
    taken = len([item for item in items if type(item) in (slice, int)])
    if Ellipsis not in items:
        items.append(Ellipsis)
    place = items.index(Ellipsis)
    items[place : place + 1] = [_EVERYTHING] * (len(shape) - taken)
    found, sizes = [], iter(shape)
    for item in items:
        if item is None:
            found.append(1)
            continue
        size = next(sizes)
        if size == 1 and item in (0, -1):
            continue
        if type(item) is int or item.indices(size) != (0, size, 1):
            raise Untraceable(f"a part of {shape}")
        found.append(size)
    return tuple(found)


# --- reductions -----------------------------------------------------------------------------------


def reduced(
    name: str,
    array: TracedArray,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: bool = False,
) -> TracedArray:
    """What a reduction gives; the arguments are NumPy's."""
    if out is not None or not array.size:
        raise Untraceable(f"{name} of {array.shape}")
    rank = array.ndim
    given = range(rank) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    axes = sorted({int(a) % rank if -rank <= a < rank else rank for a in given})
    if rank in axes or len(axes) != len(tuple(given)):
        raise ValueError(f"axes {axis} of {array.shape}")
    loop = _dtype_ofreduction(name, array.dtype, dtype)
    if name in ("sum", "prod") and loop.itemsize == 2 and kind_of(loop) == "f":
        raise Untraceable(f"{name} of {loop}")
    source = cast(array, loop, copy=False)
    kept = tuple([1 if a in axes else size for a, size in enumerate(array.shape)])
    dropped = tuple([size for a, size in enumerate(array.shape) if a not in axes])
    if not axes:
        return source.copy()
    step = Step(name, (source.number(),), Value(loop.name, dropped), loop.name, tuple(axes))
    result = TracedArray(loop, dropped, new_step(step))
    if not keepdims:
        return result
    places = tuple([a for a in range(rank) if a not in axes])
    number = _shaped(result.number(), Value(loop.name, dropped), kept, places)
    return TracedArray(loop, kept, number)


def _dtype_ofreduction(name: str, own: np.dtype[Any], dtype: Any) -> np.dtype[Any]:
    if name in ("all", "any"):
        return NUMPYS_BOOL
    if dtype is not None:
        told: np.dtype[Any] = np.dtype(dtype)
        return told
    if name in ("sum", "prod") and own.kind in "biu" and own.itemsize < 8:
        return np.dtype(np.uint64 if own.kind == "u" else np.int64)
    return own


def mean(
    array: TracedArray, axis: Any = None, dtype: Any = None, keepdims: bool = False
) -> TracedArray:
    """The sum over the count."""
    if array.dtype.itemsize == 2 or kind_of(array.dtype) != "f":
        raise Untraceable(f"mean of {array.dtype}")
    total = reduced("sum", array, axis, dtype, None, keepdims)
    return called("divide", total, total.dtype.type(array.size // max(total.size, 1)))


def reduction(name: str) -> Callable[..., Any]:
    """A reduction as a method, and as a function of the module."""

    def along(
        self: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: bool = False,
    ) -> Any:
        if not isinstance(self, TracedArray):
            raise Untraceable(f"{name} of {type(self)}")
        return reduced(name, self, axis, dtype, out, keepdims)

    return along


for _name in REDUCTIONS:
    setattr(TracedArray, _name, reduction(_name))
TracedArray.mean = mean  # type: ignore[attr-defined]


# --- operators ------------------------------------------------------------------------------------

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
_COMPARISONS = {
    "lt": "less",
    "le": "less_equal",
    "eq": "equal",
    "ne": "not_equal",
    "gt": "greater",
    "ge": "greater_equal",
}
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _operator(name: str, reverse: bool = False) -> Callable[[Any, Any], Any]:
    def operate(self: TracedArray, other: Any) -> Any:
        pair = (other, self) if reverse else (self, other)
        if name == "power" and isinstance(other, int) and other == 2 and not reverse:
            return called("square", self)  # as NumPy's operator does
        return called(name, *pair)

    return operate


def _updating(name: str) -> Callable[[Any, Any], Any]:
    def update(self: TracedArray, other: Any) -> Any:
        return called(name, self, other, out=self, casting=_IN_PLACE_CASTING)

    return update


def _single(name: str) -> Callable[[Any], Any]:
    return lambda self: called(name, self)


for _name, _ufunc in _BINARY.items():
    setattr(TracedArray, f"__{_name}__", _operator(_ufunc))
    setattr(TracedArray, f"__r{_name}__", _operator(_ufunc, reverse=True))
    setattr(TracedArray, f"__i{_name}__", _updating(_ufunc))
for _name, _ufunc in _COMPARISONS.items():
    setattr(TracedArray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in _UNARY.items():
    setattr(TracedArray, f"__{_name}__", _single(_ufunc))
