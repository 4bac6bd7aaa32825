"""Kernels of regular expressions. Texts are UTF-8; bytes that are none match nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.kernels.regex_match import Regex
from tfsession.kernels.regex_syntax import PatternError
from tfsession.kernels.string import each_text

# A backslash and what follows, in the text that is put in place of a match.
_MARK = re.compile(r"\\(.?)", re.DOTALL)


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@lru_cache(64)
def _compiled(pattern: bytes) -> Regex:
    shown = pattern.decode(errors="replace")
    try:
        return Regex(pattern.decode())
    except UnicodeDecodeError:
        raise _refuse(f"Invalid pattern: {shown}, error: invalid UTF-8") from None
    except PatternError as error:
        raise _refuse(f"Invalid pattern: {shown}, error: {error}") from None


def _scalar(array: Any, what: str) -> bytes:
    value = np.asarray(array)
    if value.ndim:
        raise _refuse(f"{what} must be scalar, but received {debug_string(value.shape)}")
    text: bytes = value[()]
    return text


def _full_match(array: Any, pattern: bytes) -> Any:
    regex = _compiled(pattern)
    flat = [
        regex.full_match(text.decode(errors="surrogateescape")) for text in array.ravel().tolist()
    ]
    return np.array(flat, bool).reshape(array.shape)


@kernel("StaticRegexFullMatch", device="CPU")
def static_regex_full_match(xp: Any, array: Any, *, pattern: bytes) -> Any:
    """Whether whole texts fit."""
    return _full_match(array, pattern)


@kernel("RegexFullMatch", device="CPU")
def regex_full_match(xp: Any, array: Any, pattern: Any) -> Any:
    """Whether whole texts fit."""
    return _full_match(array, _scalar(pattern, "Pattern"))


def _rewriter(rewrite: bytes) -> tuple[list[str | int], int]:
    """The pieces of what is put in place, numbers of groups among them, and the highest one."""
    text, pieces, highest, at = rewrite.decode(errors="surrogateescape"), [], 0, 0
    for match in _MARK.finditer(text):
        pieces.append(text[at : match.start()])
        mark, at = match[1], match.end()
        if mark.isascii() and mark.isdigit():
            pieces.append(int(mark))
            highest = max(highest, int(mark))
        elif mark == "\\":
            pieces.append(mark)
        else:
            raise _refuse(
                f"Invalid rewrite: {text}: a backslash must be followed by a digit or a backslash"
            )
    return [*pieces, text[at:]], highest


def _replacer(regex: Regex, pieces: list[str | int], is_global: bool) -> Callable[[bytes], bytes]:
    def replaced(raw: bytes) -> bytes:
        text = raw.decode(errors="surrogateescape")
        out: list[str] = []
        at, last = 0, -1
        while at <= len(text):
            spans = regex.search(text, at)
            if spans is None:
                break
            start, stop = spans[:2]
            out.append(text[at:start])
            if start == stop == last:
                # No empty match where the last one ended: it goes on behind the next character.
                out.append(text[start : start + 1])
                at = start + 1
                continue
            for piece in pieces:
                if isinstance(piece, str):
                    out.append(piece)
                elif spans[2 * piece] >= 0:
                    out.append(text[spans[2 * piece] : spans[2 * piece + 1]])
            at = last = stop
            if not is_global:
                break
        return ("".join(out) + text[at:]).encode(errors="surrogateescape")

    return replaced


def _replace(array: Any, pattern: bytes, rewrite: bytes, is_global: bool) -> Any:
    regex = _compiled(pattern)
    pieces, highest = _rewriter(rewrite)
    if highest > regex.groups:
        return array.copy()
    return each_text(_replacer(regex, pieces, is_global), array)


@kernel("StaticRegexReplace", device="CPU")
def static_regex_replace(
    xp: Any, array: Any, *, pattern: bytes, rewrite: bytes, replace_global: bool
) -> Any:
    """Matches replaced."""
    return _replace(array, pattern, rewrite, replace_global)


@kernel("RegexReplace", device="CPU")
def regex_replace(xp: Any, array: Any, pattern: Any, rewrite: Any, *, replace_global: bool) -> Any:
    """Matches replaced."""
    texts = _scalar(pattern, "Pattern"), _scalar(rewrite, "Rewrite")
    return _replace(array, *texts, replace_global)
