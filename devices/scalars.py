"""Numbers as functions of arrays take them fastest."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["scalar"]


@lru_cache(maxsize=1024)
def scalar(xp: Any, value: float, dtype: np.dtype[Any]) -> Any:
    """A number of a dtype, to be used with arrays of `xp`, and not to be written to.

    NumPy looks at one of its own scalars, or of Python's, for as long as it computes with a
    thousand elements of an array; at an array without dimensions it does not.
    """
    number = dtype.type(value)
    if xp is not np:
        return number
    array = np.asarray(number)
    array.flags.writeable = False
    return array
