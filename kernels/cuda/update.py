"""Formulas that change arrays in place, as generated kernels: the steps of optimizers.

One formula is one kernel; for many variables it is one, too, where they are updated together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from tfsession.devices.code_library import CodeLibrary, change_as_one, code_library
from tfsession.devices.program import Program, Value
from tfsession.devices.traced import TRACED, TracedArray, Untraceable, traced_program
from tfsession.kernels.cuda.body import Array
from tfsession.kernels.cuda.emit import Calls
from tfsession.kernels.cuda.emit_together import SIZE, emit_together, most_rows
from tfsession.kernels.cuda.fused import ALIGNMENT, Plan

# `f(xp, spare, *arrays, **scalars)`; `spare(n)` gives n arrays to compute in.
Formula = Callable[..., None]

_MOST_PLANS = 256

_plans: dict[Any, Plan | None] = {}


def program_of(formula: Formula, arrays: Sequence[Array], scalars: dict[str, Any]) -> Program:
    """What a formula makes of its arrays but the last, which it only reads.

    Scalars are Values, or what is known of them. Raises Untraceable.
    """
    open_names = [name for name, value in scalars.items() if isinstance(value, Value)]
    values = [Value(array.dtype, array.shape) for array in arrays]

    def traced(*inputs: Any) -> list[Any]:
        own, given = inputs[: len(arrays)], inputs[len(arrays) :]
        told = scalars | dict(zip(open_names, given, strict=True))

        def spare(count: int) -> list[Any]:
            return [TracedArray(own[0].dtype, own[0].shape) for _ in range(count)]

        # Other handles than those of the inputs: what the formula changes are its own.
        changed = [array.copy() for array in own]
        formula(TRACED, spare, *changed, **told)
        return changed[:-1]

    return traced_program(traced, [*values, *[scalars[name] for name in open_names]])


class Update(NamedTuple):
    """A formula for arrays, of which it changes all but the last, and for numbers."""

    formula: Formula
    arrays: Sequence[Any]
    scalars: dict[str, Any]


class Noted:
    """Stands for a device's module where updates are only noted, to be made together."""

    def __init__(self) -> None:
        self.updates: list[Update] = []


def updated_together(xp: Any, updates: Sequence[Update]) -> list[int]:
    """Compute formulas of arrays that have no memory in common, by one launch for those alike.

    Gives the numbers of those that no kernel computes.
    """
    if type(xp) is Noted:
        xp.updates += updates
        return []
    library = code_library(xp)
    left = list(range(len(updates))) if library is None else _launch(library, xp, updates)
    change = change_as_one(xp)
    if change is None or not left:
        return left
    own = [updates[number] for number in left]
    # A recording keeps this: arrays that somebody holds would be copied, not written to.
    forms = [(u.formula, len(u.arrays), tuple(u.scalars)) for u in own]
    written = [array for update in own for array in update.arrays[:-1]]
    taken = [value for u in own for value in (*u.arrays, *u.scalars.values())]
    change(partial(_compute, forms), written, taken)
    return []


def _launch(library: CodeLibrary, xp: Any, updates: Sequence[Update]) -> list[int]:
    """Compute what there are kernels for; gives the numbers of the others."""
    alike: dict[Any, list[int]] = {}
    left: list[int] = []
    for number, update in enumerate(updates):
        key = _key_of(library, xp, update)
        if key is None:
            left.append(number)
        else:
            alike.setdefault(key, []).append(number)
    for key, numbers in alike.items():
        if not _launched(library, xp, key, [updates[number] for number in numbers]):
            left += numbers
    return left


def _compute(
    forms: Sequence[tuple[Formula, int, Sequence[str]]], xp: Any, values: Sequence[Any]
) -> None:
    """Formulas one after another, of so many arrays each and of numbers by their names."""
    rest = iter(values)
    for formula, count, names in forms:
        arrays = list(islice(rest, count))

        def spare(number: int, like: Any = arrays[0]) -> list[Any]:
            return [xp.empty_like(like) for _ in range(number)]

        formula(xp, spare, *arrays, **{name: next(rest) for name in names})


def given_numbers(xp: Any, update: Update) -> dict[str, Any]:
    """The numbers that lie on the device."""
    return {n: value for n, value in update.scalars.items() if isinstance(value, xp.ndarray)}


def _key_of(library: CodeLibrary, xp: Any, update: Update) -> Any:
    """What tells which kernel computes an update; None if none does."""
    formula, arrays, scalars = update
    given = given_numbers(xp, update)
    if any(value.shape for value in given.values()):
        return None
    if not all(array.size and array.flags.c_contiguous for array in arrays):
        return None
    told = repr([(name, value) for name, value in scalars.items() if name not in given])
    is_aligned = not any(array.data.ptr % ALIGNMENT for array in arrays)
    kinds = tuple([value.dtype.name for value in (*arrays, *given.values())])
    # The card is a part of it: kernels are loaded for one.
    return formula, library.card.id, kinds, tuple(given), told, is_aligned


def _launched(library: CodeLibrary, xp: Any, key: Any, updates: Sequence[Update]) -> bool:
    """Launch what computes updates of one key; False where nothing does."""
    rows = [
        [value.data.ptr for value in (*update.arrays, *given_numbers(xp, update).values())]
        for update in updates
    ]
    count = len(updates[0].arrays)
    # The numbers, such as a rate, are those of all variables, as a rule.
    shared = tuple([i for i in range(count, len(rows[0])) if len({row[i] for row in rows}) == 1])
    step = most_rows(len(rows[0]), len(shared))
    plans = []
    for start in range(0, len(rows), step):
        part = updates[start : start + step]
        plan = _plan(library, xp, key, part, shared)
        if plan is None:
            return False
        plans.append((plan, rows[start : start + step]))
    for plan, own in plans:
        plan.run(xp, [place for row in own for place in row])
    return True


def _plan(
    library: CodeLibrary, xp: Any, key: Any, updates: Sequence[Update], shared: tuple[int, ...]
) -> Plan | None:
    sizes = tuple([update.arrays[0].size for update in updates])
    own = (key, sizes, shared)
    if own not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        formula, arrays, scalars = updates[0]
        numbers = {n: Value(v.dtype.name, ()) for n, v in given_numbers(xp, updates[0]).items()}
        dtypes = [array.dtype.name for array in arrays]
        _plans[own] = _compiled(library, formula, dtypes, scalars | numbers, sizes, shared, key[-1])
    return _plans[own]


def planned(
    formula: Formula,
    dtypes: Sequence[str],
    scalars: dict[str, Any],
    sizes: Sequence[int],
    shared: Sequence[int] = (),
    is_aligned: bool = True,
) -> Calls:
    """One call for arrays of these dtypes, of some sizes; see `emit_together`.

    Scalars are Values, or what is known of them. Raises Untraceable where there is none.
    """
    arrays = [Array(dtype, (SIZE,), (1,)) for dtype in dtypes]
    with np.errstate(all="ignore"):
        program = program_of(formula, arrays, scalars)
    return Calls((emit_together(program, sizes, shared, is_aligned),), {}, ())


def _compiled(library: CodeLibrary, *how: Any) -> Plan | None:
    try:
        calls = planned(*how)
    except (Untraceable, TypeError, AttributeError):
        return None  # then NumPy's way tells what is wrong
    return Plan.of(library, calls, "an update is computed operation by operation")
