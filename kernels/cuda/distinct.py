"""Which elements of a vector are alike, by a table in memory: no sort, and the host does not look.

The table holds places of elements. An element enters its own where it finds none, or the first like
it; of those that are alike the first one stays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.devices.code_library import CodeLibrary, as_one, code_library
from tfsession.devices.program import Value
from tfsession.kernels.cuda.body import Argument, Launch
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.fused import Plan

_THREADS = 256
# What an empty place of the table holds; no vector is as long.
NONE = (1 << 31) - 1
_MULTIPLIER = 0x9E3779B97F4A7C15  # 2**64 over the golden ratio: near numbers come far apart
_MOST_PLANS = 256

_plans: dict[Any, Plan | None] = {}

# Vector, table and slots are values 0, 1 and 2.
_TEXT = """\
typedef unsigned int I;
extern "C" __global__ void __launch_bounds__({threads}) {name}(
    const {type}* __restrict__ x, int* table, int* __restrict__ slots, const I n, const I shift) {{
  const I i = (I)blockIdx.x * {threads} + threadIdx.x;
  if (i >= n) return;
  const {type} key = x[i];
  const I mask = (I)((1ull << (64 - shift)) - 1);
  I at = (I)((unsigned long long)key * {multiplier}ull >> shift);
  for (;;) {{
    int old = *(volatile int*)(table + at);
    if (old == {none}) old = atomicCAS(table + at, {none}, (int)i);
    if (old == {none}) break;
    if (x[old] == key) {{
      if (old > (int)i) atomicMin(table + at, (int)i);
      break;
    }}
    at = (at + 1) & mask;
  }}
  slots[i] = (int)at;
}}
"""


def table_size(count: int) -> int:
    """The places of a table for so many elements: a power of two, half of it stays empty."""
    return 1 << max(1, (2 * count - 1).bit_length())


def entering(dtype: str, count: int) -> Calls:
    """What enters so many elements in a table that is empty, and tells in which place each stands.

    The vector and the table are inputs, of which the table changes.
    """
    text = _TEXT.format(
        threads=_THREADS,
        name=f"distinct_{dtype}",
        type=STORED[dtype],
        multiplier=hex(_MULTIPLIER),
        none=NONE,
    )
    shift = 65 - table_size(count).bit_length()
    arguments = (
        Argument(f"const {STORED[dtype]}* x", 0),
        Argument("int* table", 1),
        Argument("int* slots", 2),
        Argument("const I n", number=count),
        Argument("const I shift", number=shift),
    )
    grid, block = (-(-count // _THREADS), 1), (_THREADS, 1)
    launch = Launch(text, f"distinct_{dtype}", grid, block, arguments, "unsigned int")
    return Calls((launch,), {2: Value("int32", (count,))}, (2,))


def first_places_of(x: Any) -> Any:
    """For each element of a vector of NumPy the place of the first one like it."""
    _, first, inverse = np.unique(x, return_index=True, return_inverse=True)
    return first[inverse].astype(np.int32)


def first_places(xp: Any, x: Any) -> Any:
    """As `first_places_of`, for a vector of integers of a device; None where no code does it."""
    library, one = code_library(xp), as_one(xp)
    is_for_code = 0 < x.size < NONE and x.flags.c_contiguous
    plan = _plan(library, x) if library is not None and is_for_code else None
    if plan is None:
        return None if one is None else one(lambda _, x: [first_places_of(x)], [x])[0]
    table = xp.full(table_size(x.size), NONE, np.int32)
    (slots,) = plan.run(xp, [x.data.ptr, table.data.ptr])
    return xp.take(table, slots)


def _plan(library: CodeLibrary, x: Any) -> Plan | None:
    key = (x.dtype.name, x.size, library.card.id)
    if key not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        calls = entering(x.dtype.name, x.size)
        _plans[key] = Plan.of(library, calls, "distinct elements are found by a sort")
    return _plans[key]
