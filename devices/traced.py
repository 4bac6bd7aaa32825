"""An array module that computes nothing, but notes what a kernel over it would compute.

A kernel over `xp`, called once with `TRACED` and traced arrays, gives the steps of a program: so a
formula stands once, as Python, and is computed by code that was written from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tfsession.devices.program import REDUCTIONS, Program, Recorder, Step, Value
from tfsession.devices.traced_array import (
    NUMPYS_BOOL,
    TracedArray,
    Untraceable,
    called,
    cast,
    dtype_named,
    is_python,
    kind_of,
    mean,
    new_step,
    operand,
    recording,
    reduction,
    write,
)

__all__ = ["TRACED", "TracedArray", "Untraceable", "dtype_named", "traced_program"]


def traced_program(
    function: Callable[..., Sequence[TracedArray]], inputs: Sequence[Value | Any]
) -> Program:
    """The program of a function of traced arrays, for values or NumPy scalars that are known.

    Raises Untraceable where there is none, and whatever the function raises.
    """
    recorder = Recorder()
    arrays = []
    for given in inputs:
        if isinstance(given, Value):
            dtype = dtype_named(given.dtype)
            kind_of(dtype)
            arrays.append(TracedArray(dtype, given.shape, recorder.input(given)))
        else:
            arrays.append(operand(given))
    with recording(recorder):
        return recorder.program([result.number() for result in function(*arrays)])


# --- the module -----------------------------------------------------------------------------------


def _where(condition: Any, x: Any, y: Any) -> TracedArray:
    samples = [
        np.ones(1, value.dtype) if isinstance(value, TracedArray) else value for value in (x, y)
    ]
    try:
        dtype = np.where(np.ones(1, bool), *samples).dtype
    except TypeError as error:
        raise Untraceable(str(error)) from None
    kind_of(dtype)
    chosen = cast(operand(condition, NUMPYS_BOOL), NUMPYS_BOOL, copy=False)
    ways = [cast(operand(value, dtype), dtype, copy=False) for value in (x, y)]
    shape = np.broadcast_shapes(chosen.shape, *[way.shape for way in ways])
    own = (chosen.number(), *[way.number() for way in ways])
    step = Step("where", own, Value(dtype.name, shape), dtype.name)
    return TracedArray(dtype, shape, new_step(step))


def _clip(x: Any, low: Any, high: Any, out: Any = None) -> TracedArray:
    result = x if low is None else called("maximum", x, low)
    return called("minimum", result, high, out=out)


def _full(shape: Any, value: Any, dtype: Any = None) -> TracedArray:
    sizes = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
    if dtype is None:
        number = operand(value, np.asarray(value).dtype)
    else:
        number = cast(operand(value, np.dtype(dtype)), np.dtype(dtype), copy=False)
    result = TracedArray(number.dtype, sizes)
    write(result, number, "no")
    return result


def _empty(shape: Any, dtype: Any = float) -> TracedArray:
    kind_of(np.dtype(dtype))
    sizes = (int(shape),) if isinstance(shape, int | np.integer) else tuple(map(int, shape))
    return TracedArray(np.dtype(dtype), sizes)


def _array(value: Any, dtype: Any = None, **_: Any) -> TracedArray:
    if is_python(value):
        value = np.asarray(value)
    array = operand(value)
    return array if dtype is None else cast(array, np.dtype(dtype), copy=False)


def _arange(count: Any, dtype: Any = None) -> TracedArray:
    made = np.dtype(np.int64 if dtype is None else dtype)
    if kind_of(made) not in "iu":
        raise Untraceable(f"arange of {made}")
    shape = (int(count),)
    return TracedArray(made, shape, new_step(Step("places", (), Value(made.name, shape))))


def _broadcast_to(array: Any, shape: Any) -> TracedArray:
    own = operand(array)
    result = TracedArray(own.dtype, tuple(map(int, shape)))
    write(result, own, "no")
    return result


_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {
    "where": _where,
    "clip": _clip,
    "full": _full,
    "zeros": lambda shape, dtype=float: _full(shape, 0, dtype),
    "ones": lambda shape, dtype=float: _full(shape, 1, dtype),
    "empty": _empty,
    "full_like": lambda x, value, dtype=None: _full(x.shape, value, dtype or x.dtype),
    "zeros_like": lambda x, dtype=None: _full(x.shape, 0, dtype or x.dtype),
    "ones_like": lambda x, dtype=None: _full(x.shape, 1, dtype or x.dtype),
    "empty_like": lambda x, dtype=None: _empty(x.shape, dtype or x.dtype),
    "arange": _arange,
    "asarray": _array,
    "ascontiguousarray": _array,
    "broadcast_to": _broadcast_to,
    "mean": mean,
    "conj": lambda x: x,
    **{name: reduction(name) for name in REDUCTIONS},
}


class TracedNumpy:
    """What `numpy` is to arrays, for traced ones."""

    ndarray = TracedArray

    def __getattr__(self, name: str) -> Any:
        found = _FUNCTIONS.get(name)
        if found is None:
            there = getattr(np, name, None)
            if isinstance(there, type):
                return there
            if not isinstance(there, np.ufunc) or name.startswith("_"):
                raise Untraceable(f"numpy.{name}")
            name = there.__name__  # `abs` is `absolute`

            def found(*values: Any, **how: Any) -> TracedArray:
                try:
                    return called(name, *values, **how)
                except TypeError as error:
                    raise Untraceable(str(error)) from None

        setattr(self, name, found)
        return found

    def __repr__(self) -> str:
        return "<numpy, traced>"


TRACED: Final = TracedNumpy()
