"""Rows of a variable multiplied or divided where they lie, by a kernel: CuPy has nothing for that.

Rows that come several times are combined one after another, in no stated order, as TensorFlow's are
on a GPU. The host does not look at indices; those out of range do nothing.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

import numpy as np

from tfsession.devices.code_library import CodeLibrary, change_as_one, code_library
from tfsession.kernels.cuda.body import Argument, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.fused import Plan

__all__ = ["combining", "scattered"]

_THREADS = 256
_MOST_PLANS = 256
_LARGEST = (1 << 32) - 1
_SIGNS = {"multiply": "*", "true_divide": "/"}
# What is exchanged in the place of a number, by its bytes.
_WORDS = {4: "unsigned int", 8: "unsigned long long"}
_OF_UFUNCS = {
    "multiply": frozenset({"float32", "float64", "int32", "int64", "uint32", "uint64"}),
    "true_divide": frozenset({"float32", "float64"}),
}

_plans: dict[Any, Plan | None] = {}

# The variable, indices and rows are values 0, 1 and 2.
_TEXT = """\
typedef unsigned int I;
extern "C" __global__ void __launch_bounds__({threads}) {name}(
    {word}* x, const {index}* __restrict__ ids, const {type}* __restrict__ rows,
    const I n, const I width, const I count) {{
  const I i = (I)blockIdx.x * {threads} + threadIdx.x;
  if (i >= n) return;
  const long long row = (long long)ids[i / width];
  if (row < 0 || row >= count) return;
  {word}* at = x + (row * width + i % width);
  union {{ {word} bits; {type} number; }} seen, next;
  seen.bits = *(volatile {word}*)at;
  for (;;) {{
    next.number = seen.number {sign} rows[i];
    const {word} old = atomicCAS(at, seen.bits, next.bits);
    if (old == seen.bits) break;
    seen.bits = old;
  }}
}}
"""


def combining(ufunc: str, dtype: str, index: str, rows: int, width: int, count: int) -> Calls:
    """What combines so many rows of a width with those of a variable that has `count` of them."""
    name = f"scatter_{ufunc}_{dtype}_{index}"
    word = _WORDS[np.dtype(dtype).itemsize]
    text = _TEXT.format(
        threads=_THREADS,
        name=name,
        word=word,
        type=STORED[dtype],
        index=STORED[index],
        sign=_SIGNS[ufunc],
    )
    arguments = (
        Argument(f"{word}* x", 0),
        Argument(f"const {STORED[index]}* ids", 1),
        Argument(f"const {STORED[dtype]}* rows", 2),
        Argument("const I n", number=rows * width),
        Argument("const I width", number=width),
        Argument("const I count", number=count),
    )
    grid = (-(-rows * width // _THREADS), 1)
    launch = Launch(text, name, grid, (_THREADS, 1), arguments, "unsigned int")
    return Calls((launch,), {}, ())


def _combine(ufunc: str, xp: Any, values: Any) -> None:
    """The same on the host."""
    array, ids, rows = values
    kept = (ids >= 0) & (ids < len(array))
    getattr(xp, ufunc).at(array, ids[kept], rows[kept])


def scattered(xp: Any, ufunc: str, array: Any, ids: Any, rows: Any) -> bool:
    """Combine rows with those of a contiguous array by a kernel; False where there is none.

    Args:
        xp: the module of the arrays.
        ufunc: the name of what combines: "multiply" or "true_divide".
        array: what changes.
        ids: a vector of places along the first dimension.
        rows: one for each.
    """
    width = prod(array.shape[1:])
    most = max(ids.size * width, array.shape[0], 1)
    if array.dtype.name not in _OF_UFUNCS[ufunc] or most > _LARGEST:
        return False
    library, change = code_library(xp), change_as_one(xp)
    if library is None and change is None:
        return False
    if not ids.size or not array.size:
        return True
    plan = None
    if library is not None:
        plan = _plan(
            library, (ufunc, array.dtype.name, ids.dtype.name, ids.size, width, len(array))
        )
    if plan is not None:
        whole = [array, xp.ascontiguousarray(ids), xp.ascontiguousarray(rows)]
        plan.run(xp, [value.data.ptr for value in whole])
    elif change is not None:
        change(partial(_combine, ufunc), [array], [array, ids, rows])
    return plan is not None or change is not None


def _plan(library: CodeLibrary, how: tuple[Any, ...]) -> Plan | None:
    key = (library.card.id, *how)
    if key not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[key] = Plan.of(library, combining(*how), "rows are combined in rounds")
    return _plans[key]
