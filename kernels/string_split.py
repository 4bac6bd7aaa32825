"""Kernels that cut texts into parts."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.string import texts


def _check(array: Any, ndim: int, what: str) -> None:
    if array.ndim != ndim:
        kind = "scalar" if ndim == 0 else "vector"
        found = debug_string(array.shape)
        raise InvalidArgumentError(None, None, f"{what} must be a {kind}, got shape: {found}")


def _sparse(rows: list[list[bytes]]) -> tuple[Any, Any, Any]:
    """Indices, values and shape of the sparse matrix of parts."""
    lengths = np.array([len(row) for row in rows], np.int64)
    ids = np.repeat(np.arange(len(rows)), lengths)
    columns = np.arange(len(ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    flat = [part for row in rows for part in row]
    indices = np.stack([ids, columns], 1).astype(np.int64)
    shape = np.array([len(rows), max(lengths.tolist(), default=0)], np.int64)
    return indices, texts(flat, (len(flat),)), shape


@kernel("StringSplit", device="CPU")
def string_split(xp: Any, array: Any, delimiter: Any, *, skip_empty: bool) -> Any:
    """Cut at each byte that is among the delimiter's; an empty delimiter cuts between all bytes."""
    _check(array, 1, "input")
    _check(delimiter, 0, "delimiter")
    cut = _at_each(delimiter[()])
    rows = [cut(text) if text else [] for text in array.tolist()]
    return _sparse([[part for part in row if part] for row in rows] if skip_empty else rows)


def _at_each(delimiter: bytes) -> Any:
    if not delimiter:
        return lambda text: [text[i : i + 1] for i in range(len(text))]
    if len(delimiter) == 1:
        return lambda text: text.split(delimiter)
    return re.compile(b"[" + re.escape(delimiter) + b"]").split


@kernel("StringSplitV2", device="CPU")
def string_split_v2(xp: Any, array: Any, sep: Any, *, maxsplit: int) -> Any:
    """Cut as Python does."""
    _check(array, 1, "input")
    _check(sep, 0, "sep")
    separator = sep[()]
    if separator:
        limit = max(maxsplit, -1)
        return _sparse([text.split(separator, limit) for text in array.tolist()])
    return _sparse([_at_spaces(text, maxsplit) for text in array.tolist()])


def _at_spaces(text: bytes, maxsplit: int) -> list[bytes]:
    """The words; with a limit the rest as it is, also where there is nothing left of it."""
    if maxsplit < 0:
        return text.split()
    if maxsplit == 0:
        return [text]
    parts = text.split(None, maxsplit)
    if len(parts) == maxsplit:
        parts.append(b"")
    return parts
