"""Kernels on texts: arrays of bytes objects, in host memory.

White space is that of C's `isspace` in the "C" locale, as bytes.strip() and bytes.split() have it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError, OutOfRangeError, UnimplementedError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9_-]")


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def texts(flat: list[bytes], shape: tuple[int, ...]) -> Any:
    """A string array of these elements."""
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)


def each_text(function: Callable[[bytes], bytes], array: Any) -> Any:
    """The function's text for each text of an array."""
    return texts([function(text) for text in array.ravel().tolist()], array.shape)


# --- joining --------------------------------------------------------------------------------------


@kernel("StringJoin", device="CPU")
def string_join(xp: Any, *inputs: Any, separator: bytes) -> Any:
    """Element by element; scalars take part in each."""
    shape: tuple[int, ...] = ()
    for array in inputs:
        if array.ndim:
            if shape and array.shape != shape:
                shapes = f"{debug_string(shape)} vs. {debug_string(array.shape)}"
                raise _refuse(f"Input shapes do not match: {shapes}")
            shape = array.shape
    if not inputs:
        return texts([b""], ())
    size = int(np.prod(shape))
    columns = [a.ravel().tolist() if a.ndim else [a[()]] * size for a in inputs]
    return texts([separator.join(row) for row in zip(*columns, strict=True)], shape)


@kernel("ReduceJoin", device="CPU")
def reduce_join(
    xp: Any, inputs: Any, reduction_indices: Any, *, keep_dims: bool, separator: bytes
) -> Any:
    """One text for the texts along the dimensions, the one named last being the slowest."""
    ndim = inputs.ndim
    axes: list[int] = []
    for axis in reduction_indices.ravel().tolist():
        if not -ndim <= axis < ndim:
            raise OutOfRangeError(
                None,
                None,
                f"Invalid reduction dimension {axis} for input with {ndim} dimension(s)",
            )
        if axis % ndim in axes:
            raise _refuse(f"Duplicate reduction dimension {axis % ndim}")
        axes.append(axis % ndim)
    if not axes:
        return inputs.copy()
    kept = [axis for axis in range(ndim) if axis not in axes]
    joined = int(np.prod([inputs.shape[axis] for axis in axes]))
    count = int(np.prod([inputs.shape[axis] for axis in kept]))
    rows = inputs.transpose([*kept, *axes[::-1]] if axes else kept).reshape(count, joined).tolist()
    size = (
        tuple(1 if axis in axes else n for axis, n in enumerate(inputs.shape))
        if keep_dims
        else tuple(inputs.shape[axis] for axis in kept)
    )
    return texts([separator.join(row) for row in rows], size)


@kernel("UnsortedSegmentJoin", device="CPU")
def unsorted_segment_join(
    xp: Any, inputs: Any, segment_ids: Any, num_segments: Any, *, separator: bytes
) -> Any:
    """One text for the texts of each segment."""
    if num_segments.size != 1:
        raise _refuse("Number of segments should be a scalar.")
    count, ndim = int(num_segments), segment_ids.ndim
    if count < 0:
        raise _refuse(f"Number of segments must be non-negative but got {count}")
    if ndim == 0:
        raise _refuse("Segment_id cannot have rank 0")
    for axis, (a, b) in enumerate(zip(segment_ids.shape, inputs.shape, strict=False)):
        if a != b or ndim > inputs.ndim:
            raise _refuse(f"Segment dimension is {a} while input dimension is {b} in rank {axis}")
    ids, rest = segment_ids.ravel(), inputs.shape[ndim:]
    if ids.size and not (ids.min() >= 0 and ids.max() < count):
        raise _refuse(
            "segment_ids are not allowed to exceed num_segments or to have negative values."
        )
    width = int(np.prod(rest))
    parts: list[list[bytes]] = [[] for _ in range(count * width)]
    rows = inputs.reshape(ids.size, width).tolist()
    for segment, row in zip(ids.tolist(), rows, strict=True):
        for offset, text in enumerate(row):
            parts[segment * width + offset].append(text)
    return texts([separator.join(part) for part in parts], (count, *rest))


# --- parts and measures ---------------------------------------------------------------------------


def _starts(text: bytes) -> Any:
    """Where the characters of a text in UTF-8 begin; bytes that continue none belong to the last.

    Only the high bits of bytes are looked at, so that any bytes are taken.
    """
    is_start = (np.frombuffer(text, np.uint8) & 0xC0) != 0x80
    is_start[:1] = True
    return np.flatnonzero(is_start)


def _substr_bytes(text: bytes, pos: int, length: int, index: str) -> bytes:
    if not -len(text) <= pos <= len(text):
        raise _refuse(f"pos {pos} out of range for string b'{_shown(text)}'{index}")
    start = pos if pos >= 0 else len(text) + pos
    # As an unsigned number, a negative length is one beyond the end.
    return text[start : start + length] if length >= 0 else text[start:]


def _substr_chars(text: bytes, pos: int, length: int, index: str) -> bytes:
    if text.isascii():
        starts: Any = range(len(text))
    else:
        starts = _starts(text)
    if not -len(starts) <= pos <= len(starts):
        raise _refuse(f"pos {pos} out of range for string{index}")
    start = pos if pos >= 0 else len(starts) + pos
    stop = start + max(length, 0)
    if start == len(starts):
        return b""
    return text[starts[start] : starts[stop] if stop < len(starts) else len(text)]


def _shown(text: bytes) -> str:
    return text.decode(errors="backslashreplace")


@kernel("Substr", device="CPU")
def substr(xp: Any, texts_: Any, pos: Any, length: Any, *, unit: bytes) -> Any:
    """Parts of texts."""
    if pos.shape != length.shape:
        shapes = f"{debug_string(pos.shape)} vs. {debug_string(length.shape)}"
        raise _refuse(f"pos and len should have the same shape, got: {shapes}")
    try:
        shape = np.broadcast_shapes(texts_.shape, pos.shape)
    except ValueError:
        shapes = f"{debug_string(texts_.shape)} vs. {debug_string(pos.shape)}"
        raise _refuse(f"Incompatible shapes: {shapes}") from None
    if len(shape) > 2 and texts_.shape != pos.shape and pos.ndim:
        text = f"Substr broadcast not implemented for {len(shape)} dimensions"
        raise UnimplementedError(None, None, text)
    part = _substr_chars if unit == b"UTF8_CHAR" else _substr_bytes
    columns = [np.broadcast_to(a, shape).ravel().tolist() for a in (texts_, pos, length)]
    return texts(
        [part(*row, f" at index {i}") for i, row in enumerate(zip(*columns, strict=True))], shape
    )


def _characters(text: bytes) -> int:
    """How many bytes begin a character, also where those that continue it are missing."""
    return int(np.count_nonzero((np.frombuffer(text, np.uint8) & 0xC0) != 0x80))


@kernel("StringLength", device="CPU")
def string_length(xp: Any, array: Any, *, unit: bytes) -> Any:
    """Bytes or characters."""
    measure = _characters if unit == b"UTF8_CHAR" else len
    sizes = [measure(text) for text in array.ravel().tolist()]
    return np.array(sizes, np.int32).reshape(array.shape)


@kernel("StringStrip", device="CPU")
def string_strip(xp: Any, array: Any) -> Any:
    """Without white space at the ends."""
    return each_text(bytes.strip, array)


def _change_case(array: Any, encoding: bytes, plain: Any, of_all_scripts: Any) -> Any:
    if encoding == b"":
        return each_text(plain, array)
    if encoding != b"utf-8":
        raise _refuse(f"only utf-8 or '' (no encoding) is supported, received {_shown(encoding)}")
    return each_text(lambda t: of_all_scripts(t.decode(errors="replace")).encode(), array)


@kernel("StringLower", device="CPU")
def string_lower(xp: Any, array: Any, *, encoding: bytes) -> Any:
    """In small letters."""
    return _change_case(array, encoding, bytes.lower, str.lower)


@kernel("StringUpper", device="CPU")
def string_upper(xp: Any, array: Any, *, encoding: bytes) -> Any:
    """In capitals."""
    return _change_case(array, encoding, bytes.upper, str.upper)


# --- base64 ---------------------------------------------------------------------------------------


@kernel("EncodeBase64", device="CPU")
def encode_base64(xp: Any, array: Any, *, pad: bool) -> Any:
    """In the alphabet that is safe in URLs."""
    if pad:
        return each_text(base64.urlsafe_b64encode, array)
    return each_text(lambda text: base64.urlsafe_b64encode(text).rstrip(b"="), array)


def _decoded(text: bytes) -> bytes:
    if len(text) % 4 == 1:
        raise _refuse("Base64 string length cannot be 1 modulo 4.")
    bare = text
    if len(text) % 4 == 0 and text.endswith(b"="):
        bare = text[:-2] if text.endswith(b"==") else text[:-1]
    if _NOT_BASE64.search(bare):
        raise _refuse("Invalid character found in base64.")
    return base64.urlsafe_b64decode(bare + b"=" * (-len(bare) % 4))


@kernel("DecodeBase64", device="CPU")
def decode_base64(xp: Any, array: Any) -> Any:
    """What was encoded; the bits beyond the last byte do not matter."""
    return each_text(_decoded, array)
