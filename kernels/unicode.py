"""Kernels between texts and code points, with Python's codecs."""

from __future__ import annotations

import codecs
from itertools import pairwise
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.string import each_text, texts

# (code point, offset of its first byte)
Point = tuple[int, int]


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


class _Decoder:
    """Texts of an encoding to code points."""

    def __init__(self, encoding: bytes, errors: bytes, replacement: int, controls: bool) -> None:
        name = encoding.decode(errors="replace")
        try:
            self._codec = codecs.lookup(name).name
            "".encode(self._codec)
        except LookupError:
            raise _refuse(f"Could not create converter for input encoding: {name}") from None
        self._errors, self._replacement, self._controls = errors, replacement, controls
        if not _is_character(replacement):
            raise _refuse("replacement_char out of unicode codepoint range")

    def points(self, raw: bytes) -> list[Point]:
        """The code points of a text; each run of bytes that is none counts once."""
        found: list[Point] = []
        at = 0
        while at < len(raw):
            try:
                good, bad, end = raw[at:].decode(self._codec), False, len(raw)
            except UnicodeDecodeError as error:
                good, bad = raw[at : at + error.start].decode(self._codec), True
                start, end = at + error.start, at + error.end
            for letter in good:
                code = ord(letter)
                is_control = self._controls and code < 32
                found.append((self._replacement if is_control else code, at))
                at += len(letter.encode(self._codec))
            if bad:
                if self._errors == b"strict":
                    raise _refuse("Invalid formatting on input string")
                if self._errors == b"replace":
                    found.append((self._replacement, start))
            at = end
        return found


def _is_character(code: int) -> bool:
    """Whether it is a code point that stands for a character: no surrogate and its like."""
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code <= 0xDFFF or 0xFDD0 <= code <= 0xFDEF:
        return False
    return code & 0xFFFE != 0xFFFE


def _decoded(array: Any, decoder: _Decoder, splits: DType) -> tuple[Any, Any, Any]:
    rows = [decoder.points(text) for text in array.ravel().tolist()]
    flat = np.array([point for row in rows for point in row], np.int64).reshape(-1, 2)
    ends = np.cumsum([0, *map(len, rows)]).astype(splits.numpy)
    return ends, flat[:, 0].astype(np.int32), flat[:, 1].copy()


@kernel("UnicodeDecode", device="CPU")
def unicode_decode(
    xp: Any, array: Any, *, input_encoding: bytes, errors: bytes, replacement_char: int,
    replace_control_characters: bool, Tsplits: DType,
) -> Any:  # fmt: skip
    """Code points of all texts, and where those of each begin."""
    decoder = _Decoder(input_encoding, errors, replacement_char, replace_control_characters)
    return _decoded(array, decoder, Tsplits)[:2]


@kernel("UnicodeDecodeWithOffsets", device="CPU")
def unicode_decode_with_offsets(
    xp: Any, array: Any, *, input_encoding: bytes, errors: bytes, replacement_char: int,
    replace_control_characters: bool, Tsplits: DType,
) -> Any:  # fmt: skip
    """As `unicode_decode`, with the bytes at which the characters begin."""
    decoder = _Decoder(input_encoding, errors, replacement_char, replace_control_characters)
    return _decoded(array, decoder, Tsplits)


def _encoded(codes: list[int], encoding: bytes, errors: bytes, replacement: int) -> bytes:
    letters = []
    for code in codes:
        if _is_character(code):
            letters.append(chr(code))
        elif errors == b"strict":
            raise _refuse("Code point is out of range for Unicode, or a noncharacter.")
        elif errors == b"replace":
            letters.append(chr(replacement))
    return "".join(letters).encode(encoding.decode())


@kernel("UnicodeEncode", device="CPU")
def unicode_encode(
    xp: Any, values: Any, splits: Any, *, errors: bytes, output_encoding: bytes,
    replacement_char: int,
) -> Any:  # fmt: skip
    """A text for each row of code points."""
    if not _is_character(replacement_char):
        raise _refuse("replacement_char out of unicode codepoint range")
    if values.ndim != 1 or splits.ndim != 1 or not splits.size:
        raise _refuse("input_values and input_splits must be vectors, with at least one split")
    ends = splits.tolist()
    if ends[0] != 0 or ends[-1] != len(values) or ends != sorted(ends):
        raise _refuse("input_splits must go from 0 to the number of values, without going back")
    codes = values.tolist()
    rows = [codes[a:b] for a, b in pairwise(ends)]
    found = [_encoded(row, output_encoding, errors, replacement_char) for row in rows]
    return texts(found, (len(found),))


@kernel("UnicodeTranscode", device="CPU")
def unicode_transcode(
    xp: Any, array: Any, *, input_encoding: bytes, output_encoding: bytes, errors: bytes,
    replacement_char: int, replace_control_characters: bool,
) -> Any:  # fmt: skip
    """Texts in another encoding."""
    decoder = _Decoder(input_encoding, errors, replacement_char, replace_control_characters)
    name = output_encoding.decode()
    return each_text(
        lambda text: "".join(chr(code) for code, _ in decoder.points(text)).encode(name), array
    )
