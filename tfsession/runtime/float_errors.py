"""Floating-point warnings are off while a step computes: NaN and infinity are ordinary values.

NumPy keeps what it warns about in a context variable. `numpy.errstate` sets it at the price of
several small kernels; setting it directly, where NumPy has it under the name known here, costs a
tenth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy._core import umath

__all__ = ["restore", "silence"]


def _slow_silence() -> Any:
    state = np.errstate(all="ignore")
    state.__enter__()
    return state


def _slow_restore(state: Any) -> None:
    state.__exit__(None, None, None)


def _find() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    variable = getattr(umath, "_extobj_contextvar", None)
    make = getattr(umath, "_make_extobj", None)
    if variable is None or make is None:
        return _slow_silence, _slow_restore
    ignore = make(all="ignore")
    set_variable = variable.set
    return lambda: set_variable(ignore), variable.reset


# `token = silence()` before, `restore(token)` after, in the same thread.
silence, restore = _find()
