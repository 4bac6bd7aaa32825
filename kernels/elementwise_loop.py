"""Element-wise operations in machine code, where LLVM is installed: see `devices.native`.

Functions like `exp` of float32 are compiled once, as ufuncs that stand for NumPy's wherever a
kernel of a CPU computes them, alone or with others: so what is fused has the bits of what is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from tfsession.core.dtypes import float32
from tfsession.core.rules import fuser
from tfsession.devices.native import native_compiler
from tfsession.devices.native_ufunc import MOST_ARGUMENTS, native_ufunc
from tfsession.devices.program import Call, Program, Step, Value, called
from tfsession.devices.traced import TRACED, traced_program
from tfsession.devices.traced_array import operand
from tfsession.kernels.elementwise_functions import FUNCTIONS
from tfsession.kernels.elementwise_loop_text import Unwritable, loop_text

_FLOAT = np.dtype(np.float32)
# Loops that are compiled in one process; what more there is stays with NumPy.
_MOST_LOOPS = 2048
_NAME = "loop"


@cache
def _ufunc(text: str, taken: tuple[str, ...], given: tuple[str, ...]) -> np.ufunc:
    compiler = native_compiler()
    assert compiler is not None
    (address,) = compiler.addresses(text, [_NAME])
    return native_ufunc(_NAME, address, [*map(np.dtype, taken)], [*map(np.dtype, given)])


def compiled(program: Program, repeats: Sequence[bool]) -> np.ufunc | None:
    """The ufunc of an element-wise program; None where it stays with NumPy."""
    if native_compiler() is None or len(program.inputs) + len(program.results) > MOST_ARGUMENTS:
        return None
    try:
        text = loop_text(program, repeats, _NAME)
    except Unwritable:
        return None
    if _ufunc.cache_info().currsize >= _MOST_LOOPS:
        return None
    results = [program.value(number).dtype for number in program.results]
    try:
        return _ufunc(text, tuple([value.dtype for value in program.inputs]), tuple(results))
    except RuntimeError:
        return None


@cache
def of_float32(name: str) -> np.ufunc | None:
    """The function of this name for float32, if there is one of our own."""
    value = Value("float32", (1,))
    step = Step(name, (0,), value, "float32")
    return compiled(Program((value,), (step,), (1,)), [False])


def function(xp: Any, name: str, dtype: np.dtype[Any]) -> Any:
    """The function of `xp` of this name, for arrays of a dtype."""
    return (of_float32(name) if xp is np and dtype == _FLOAT else None) or getattr(xp, name)


@fuser("function")
def stand_in(xp: Any, name: str, dtype: Any) -> np.ufunc | None:
    """What stands for a ufunc of `xp` where numbers are of this type; None for its own."""
    return of_float32(name) if xp is np and name in FUNCTIONS and dtype == float32 else None


@lru_cache(maxsize=1024)
def _shape(kind: str) -> tuple[int, ...]:
    """A shape for what lies in some way, by which it is told from others."""
    return {"row": (3,), "column": (2, 1), "one": ()}.get(kind, (2, 3))


@fuser("loop")
def loop(
    calls: Sequence[Call],
    inputs: Sequence[tuple[np.dtype[Any], str]],
    results: Sequence[int],
) -> np.ufunc | None:
    """Operations one after another as one ufunc; None where that cannot be.

    Args:
        calls: the operations.
        inputs: dtypes of what they take, and how it lies in a matrix: "full", "row", "column" or
            "one" (see `runtime.blocks`).
        results: the numbers of what is wanted, of as many elements as the matrix has.
    """
    program = _program(calls, inputs, results)
    if program is None:
        return None
    return compiled(program, [kind in ("column", "one") for _, kind in inputs])


@fuser("can be in a loop")
def can_be_in_a_loop(call: Call, inputs: Sequence[tuple[np.dtype[Any], str]]) -> bool:
    """Whether an operation can be in such a loop, by itself or with others; as `loop` has them."""
    program = _program([call], inputs, [len(inputs)])
    try:
        return program is not None and bool(loop_text(program, [False] * len(inputs), _NAME))
    except Unwritable:
        return False


def _program(
    calls: Sequence[Call], inputs: Sequence[tuple[np.dtype[Any], str]], results: Sequence[int]
) -> Program | None:
    def chain(*arrays: Any) -> list[Any]:
        return [operand(result) for result in called(calls, results, TRACED, arrays, operand)]

    values = [Value(dtype.name, _shape(kind)) for dtype, kind in inputs]
    try:
        with np.errstate(all="ignore"):
            return traced_program(chain, values)
    except Exception:
        return None  # NumPy tells what is wrong
