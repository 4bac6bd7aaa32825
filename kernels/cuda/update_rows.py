"""Rows of variables updated by a formula where they lie, without a look at which rows these are.

A row that comes several times is updated as often, in the order in which it comes, as on the CPU;
indices out of range do nothing, as on TensorFlow's GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tfsession.devices.code_library import CodeLibrary, change_as_one, code_library
from tfsession.devices.program import Value
from tfsession.devices.traced import Untraceable
from tfsession.kernels.cuda.body import Array
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.emit_update_rows import SIZE, Rows, emit_update_rows
from tfsession.kernels.cuda.fused import Plan
from tfsession.kernels.cuda.order import MOST, ordering
from tfsession.kernels.cuda.update import Formula, Update, given_numbers, program_of

__all__ = ["planned_rows", "rows_updated"]

# `f(xp, formula, arrays, indices, scalars)` updates rows of arrays, the last of which has a row for
# each index.
ByRows = Callable[..., None]

_MOST_PLANS = 256

_plans: dict[Any, Plan | None] = {}


def rows_updated(xp: Any, update: Update, ids: Any, by_rows: ByRows, *, are_distinct: bool) -> bool:
    """Update rows by a few kernels; False where there are none.

    Args:
        xp: the module of the arrays.
        update: a formula, arrays of which it changes rows, the last of them a row for each index.
        ids: a vector of places along the first dimension.
        by_rows: what does the same on the host.
        are_distinct: whether no index comes twice, but for those out of range.
    """
    formula, arrays, scalars = update
    library, change = code_library(xp), change_as_one(xp)
    if library is None and change is None:
        return False
    if not all(value.size for value in arrays):
        return True
    whole = [*arrays[:-1], xp.ascontiguousarray(arrays[-1])]
    if library is not None and _launched(
        library, xp, Update(formula, whole, scalars), xp.ascontiguousarray(ids), are_distinct
    ):
        return True
    if change is None:
        return False
    # A recording keeps this: arrays that somebody holds would be copied, not written to.
    computed = partial(_compute, by_rows, formula, len(arrays), tuple(scalars))
    change(computed, arrays[:-1], [*arrays, ids, *scalars.values()])
    return True


def _compute(
    by_rows: ByRows, formula: Formula, count: int, names: Sequence[str], xp: Any, values: Any
) -> None:
    """The same on the host."""
    arrays, ids = list(values[:count]), values[count]
    by_rows(xp, formula, arrays, ids, dict(zip(names, values[count + 1 :], strict=True)))


def _launched(library: CodeLibrary, xp: Any, update: Update, ids: Any, are_distinct: bool) -> bool:
    formula, arrays, scalars = update
    given = given_numbers(xp, update)
    rows = Rows(
        ids.size, arrays[-1].shape[1:], len(arrays[0]), ids.dtype.name if are_distinct else ""
    )
    if max(rows.size, rows.count) > MOST or any(value.shape for value in given.values()):
        return False
    if not all(array.flags.c_contiguous for array in arrays):
        return False
    told = repr([(name, value) for name, value in scalars.items() if name not in given])
    dtypes = [array.dtype.name for array in arrays]
    kinds = (*dtypes, *[value.dtype.name for value in given.values()])
    key = (formula, library.card.id, kinds, tuple(given), told, rows, ids.dtype.name)
    if key not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        numbers = {n: Value(value.dtype.name, ()) for n, value in given.items()}
        how = formula, dtypes, scalars | numbers, rows, ids.dtype.name
        _plans[key] = _compiled(library, *how)
    plan = _plans[key]
    if plan is None:
        return False
    plan.run(xp, [value.data.ptr for value in (*arrays, *given.values(), ids)])
    return True


def planned_rows(
    formula: Formula, dtypes: Sequence[str], scalars: dict[str, Any], rows: Rows, index: str
) -> Calls:
    """What updates rows of arrays of these dtypes: of the arrays, open numbers and indices.

    Scalars are Values, or what is known of them. Raises Untraceable where there is no such kernel.
    """
    arrays = [Array(dtype, (SIZE,), (1,)) for dtype in dtypes]
    with np.errstate(all="ignore"):
        program = program_of(formula, arrays, scalars)
    update = emit_update_rows(program, len(dtypes) - 1, rows)
    if rows.index:
        return Calls((update,), {}, ())
    ids = len(program.inputs)
    order = ordering(index, rows.size, rows.count, ids)
    return Calls((*order.launches, update), order.buffers, ())


def _compiled(library: CodeLibrary, *how: Any) -> Plan | None:
    try:
        calls = planned_rows(*how)
    except (Untraceable, TypeError, AttributeError):
        return None  # then NumPy's way tells what is wrong
    return Plan.of(library, calls, "rows are updated in rounds")
