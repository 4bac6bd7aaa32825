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

__all__ = ["SILENT", "settings", "use"]


def _slow_use(state: Any) -> None:
    np.seterr(**state)


def _find() -> tuple[Callable[[], Any], Callable[[Any], object], Any]:
    variable = getattr(umath, "_extobj_contextvar", None)
    make = getattr(umath, "_make_extobj", None)
    if variable is None or make is None:
        return np.geterr, _slow_use, dict.fromkeys(("divide", "over", "under", "invalid"), "ignore")
    return variable.get, variable.set, make(all="ignore")


# `before = settings()`, then `use(SILENT)` in a `try` and `use(before)` in its `finally`. They are
# functions of C: Ctrl-C cannot come between such a call and what it does.
settings, use, SILENT = _find()
