"""Examples of a known layout, taken apart by one call of C each.

Examples of one writer are much alike: two of the same size most often have the same bytes but for
the values. So where the values lie is found once, and then only held against what lies between.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

_LIST: Final = 0x0A
_ENTRY_VALUE: Final = 0x12
_KINDS: Final = (0x0A, 0x12, 0x1A)  # of lists of bytes, floats, integers
# How many layouts are kept, and after how many Examples of none of them they are forgotten.
_MOST: Final = 64
_FORGOTTEN: Final = 512

# Of each feature the name and the field of its kind.
Names = tuple[tuple[bytes, int], ...]


class Layout:
    """Where the values of an Example lie."""

    def __init__(self, names: Names, spans: Sequence[tuple[int, int]], text: bytes) -> None:
        self.names = names
        ends = [0, *(at for span in spans for at in span), len(text)]
        sizes = [end - start for start, end in pairwise(ends)]
        self.split = struct.Struct("".join(f"{size}s" for size in sizes)).unpack
        self.between = self.split(text)[::2]


class _Known:
    """The layouts met so far, by the size of the Example."""

    def __init__(self) -> None:
        self._by_size: dict[int, Layout | None] = {}
        self._unknown = 0

    def of(self, text: bytes) -> Layout | None:
        """That of an Example, as far as its size tells."""
        size = len(text)
        found = self._by_size.get(size)
        if found is None and size not in self._by_size and len(self._by_size) < _MOST:
            found = self._by_size[size] = _laid_out(text)
        return found

    def missed(self) -> None:
        """There was none that fits."""
        self._unknown += 1
        if self._unknown >= _FORGOTTEN:
            self._unknown = 0
            self._by_size = {}


_known = _Known()


def values_by_name(texts: Sequence[bytes]) -> dict[bytes, tuple[int, tuple[bytes, ...]]] | None:
    """Of each feature the field of its kind, and its values in each Example as on the wire.

    Those of numbers are packed, of texts there is one. None where the Examples do not have the
    same features in the same order, or are not known well enough.
    """
    rows: list[tuple[Any, ...]] = []
    names: Names | None = None
    for text in texts:
        layout = _known.of(text)
        if layout is None or (names is not None and layout.names != names):
            _known.missed()
            return None
        names = layout.names
        row = layout.split(text)
        if row[::2] != layout.between:
            _known.missed()
            return None
        rows.append(row[1::2])
    if names is None:
        return None
    columns = zip(*rows, strict=True)
    return {key: (kind, column) for (key, kind), column in zip(names, columns, strict=True)}


def _laid_out(text: bytes) -> Layout | None:
    """The layout of an Example that is written in the plainest way; None for others."""
    names: list[tuple[bytes, int]] = []
    spans: list[tuple[int, int]] = []
    try:
        at = _body(text, 0, len(text), _LIST, is_last=True)[0]
        while at < len(text):
            at, end = _body(text, at, len(text), _LIST)
            start, at = _body(text, at, end, _LIST)
            key = text[start:at]
            at, _ = _body(text, at, end, _ENTRY_VALUE, is_last=True)
            kind = text[at]
            at, _ = _body(text, at, end, kind, is_last=True)
            at, _ = _body(text, at, end, _LIST, is_last=True)
            if kind not in _KINDS:
                return None
            names.append((key, kind))
            spans.append((at, end))
            at = end
    except (IndexError, ValueError):
        return None
    if len({key for key, _ in names}) < len(names):
        return None
    return Layout(tuple(names), spans, text)


def _body(text: bytes, at: int, limit: int, tag: int, is_last: bool = False) -> tuple[int, int]:
    """Where the body of a field begins and ends; ValueError if it is another, or not the last."""
    if text[at] != tag:
        raise ValueError
    size = shift = 0
    while True:
        at += 1
        octet = text[at]
        size |= (octet & 127) << shift
        shift += 7
        if octet < 128:
            break
    end = at + 1 + size
    if end > limit or (is_last and end != limit):
        raise ValueError
    return at + 1, end
