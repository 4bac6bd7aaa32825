"""Kernels of checks: they look at the host's copies."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel

_ESCAPES = {code: f"\\{code:03o}".encode() for code in (*range(32), 127)}
_ESCAPES |= {9: b"\\t", 10: b"\\n", 13: b"\\r", 34: b'\\"', 39: b"\\'", 92: b"\\\\"}
_SPECIAL = re.compile(b"[\x00-\x1f\"'\\\\\x7f]")


def escaped(text: bytes) -> bytes:
    """A text as C writes it in its source, but for the bytes of other characters than ASCII's."""
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0][0]], text)


def _element(value: Any) -> str:
    """One element as TensorFlow's errors show it."""
    if isinstance(value, bytes):
        return escaped(value).decode(errors="replace")
    if isinstance(value, bool):
        return str(int(value))
    return str(value)


def _number(value: Any) -> str:
    """A floating number in the fewest of two numbers of digits that tell it from others."""
    # The small ones are shown as the float32 that they are.
    kind, digits, more = (np.float64, 15, 17) if value.dtype == np.float64 else (np.float32, 6, 9)
    text = f"{float(value):.{digits}g}"
    exact = kind(text) == kind(value) or value != value
    return text if exact else f"{float(value):.{more}g}"


def shown_element(value: Any) -> str:
    """A number or a truth value, given as a NumPy scalar, as TensorFlow prints it."""
    return _element(value.item()) if value.dtype.kind in "biu" else _number(value)


def summary(array: Any, limit: int) -> str:
    """The first `limit` elements of an array, all if negative, in brackets as they are nested."""
    limit = left = array.size if limit < 0 else limit
    is_float = array.dtype.kind not in "biuOc"

    def texts(part: Any) -> list[str]:
        return [_number(v) for v in part] if is_float else [_element(v) for v in part.tolist()]

    def block(part: Any) -> str:
        nonlocal left
        if part.ndim == 1:
            shown = texts(part[:left])
            left -= len(shown)
            return " ".join(shown) + ("..." if len(shown) < len(part) else "")
        rows = []
        for row in part:
            if left <= 0:
                break
            rows.append(f"[{block(row)}]")
        return "".join(rows)

    if array.dtype.kind == "c":
        return "?"
    if array.ndim == 0:
        return texts(array.reshape(1))[0]
    text = block(array)
    return text + "..." if array.ndim > 1 and array.size > limit else text


@kernel("Assert", host=["condition", "data"])
def assert_(xp: Any, condition: Any, *data: Any, summarize: int) -> None:
    """Nothing, or an error that shows the data."""
    if not condition:
        shown = " ".join(f"[{summary(np.asarray(value), summarize)}]" for value in data)
        raise InvalidArgumentError(None, None, f"assertion failed: {shown}")
