"""Kernels of checks: they look at the host's copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel


def _element(value: Any) -> str:
    """One element as TensorFlow's errors show it."""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, int):
        return str(value)
    return f"{float(value):g}" if not isinstance(value, complex) else "?"


def summary(array: Any, limit: int) -> str:
    """The first `limit` elements of an array, in brackets as they are nested."""
    left = limit

    def block(part: Any) -> str:
        nonlocal left
        if part.ndim == 1:
            shown = part[:left].tolist()
            left -= len(shown)
            return " ".join(map(_element, shown)) + ("..." if len(shown) < len(part) else "")
        rows = []
        for row in part:
            if left <= 0:
                break
            rows.append(f"[{block(row)}]")
        return "".join(rows)

    if array.dtype.kind == "c":
        return "?"
    if array.ndim == 0:
        return _element(array.tolist())
    text = block(array)
    return text + "..." if array.ndim > 1 and array.size > limit else text


@kernel("Assert", host=["condition", "data"])
def assert_(xp: Any, condition: Any, *data: Any, summarize: int) -> None:
    """Nothing, or an error that shows the data."""
    if not condition:
        shown = " ".join(f"[{summary(np.asarray(value), summarize)}]" for value in data)
        raise InvalidArgumentError(None, None, f"assertion failed: {shown}")
