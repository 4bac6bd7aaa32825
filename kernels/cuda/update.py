"""Formulas that change arrays in place, as one generated kernel each: the steps of optimizers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.devices.capture import CaptureRefused
from tfsession.devices.code_library import CodeLibrary, code_library
from tfsession.devices.nvrtc import CompilationError
from tfsession.devices.program import Program, Value
from tfsession.devices.traced import TRACED, TracedArray, Untraceable, traced_program
from tfsession.kernels.cuda.body import Array
from tfsession.kernels.cuda.emit import Calls, calls
from tfsession.kernels.cuda.fused import Plan, layout_of

# `f(xp, spare, *arrays, **scalars)`; `spare(n)` gives n arrays to compute in.
Formula = Callable[..., None]

_MOST_PLANS = 256

_log = logging.getLogger("tfsession")
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


def planned(program: Program, arrays: Sequence[Array]) -> Calls:
    """How it is computed in place; raises Untraceable where one kernel cannot do that."""
    found = calls(program, arrays, in_place=True)
    if len(found.launches) != 1 or not found.launches[0].name.startswith("elementwise"):
        raise Untraceable("not element by element")
    return found


def updated_in_place(
    xp: Any, formula: Formula, arrays: Sequence[Any], scalars: dict[str, Any]
) -> bool:
    """Compute a formula by a kernel of its own; False where there is none."""
    library = code_library(xp)
    if library is None:
        return False
    try:
        return _updated(library, xp, formula, arrays, scalars)
    except CaptureRefused:
        raise
    except Untraceable:
        return False


def _updated(
    library: CodeLibrary,
    xp: Any,
    formula: Formula,
    arrays: Sequence[Any],
    scalars: dict[str, Any],
) -> bool:
    given = {name: value for name, value in scalars.items() if isinstance(value, xp.ndarray)}
    told = {name: value for name, value in scalars.items() if name not in given}
    taken = [*arrays, *given.values()]
    if not all(array.size and array.flags.c_contiguous for array in taken):
        return False
    layouts = [layout_of(array) for array in taken]
    # The card is a part of it: kernels are loaded for one.
    key = (formula, xp.cuda.Device().id, tuple(layouts), tuple(given), repr(told))
    if key not in _plans:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[key] = _plan(library, formula, layouts, len(arrays), list(given), told)
    plan = _plans[key]
    if plan is None:
        return False
    plan.run(xp, [array.data.ptr for array in taken], arrays[:-1])
    return True


def _plan(
    library: CodeLibrary,
    formula: Formula,
    layouts: Sequence[Array],
    count: int,
    names: Sequence[str],
    told: dict[str, Any],
) -> Plan | None:
    values = [Value(layout.dtype, layout.shape) for layout in layouts[count:]]
    scalars = told | dict(zip(names, values, strict=True))
    try:
        with np.errstate(all="ignore"):
            return Plan(library, planned(program_of(formula, layouts[:count], scalars), layouts))
    except CompilationError as error:
        _log.warning("an update is computed operation by operation: %s", error)
    except (Untraceable, TypeError, AttributeError):
        pass  # then NumPy's way tells what is wrong
    return None
