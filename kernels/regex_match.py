"""Matching with trees of regular expressions, in a time that grows no faster than the text.

Python's `re` tries one way after the other, and may need time without end. So it is taken only
where the ways are few, counted from above; else the threads of a virtual machine go through the
text together, one character at a time (Ken Thompson's and Rob Pike's way; Russ Cox, "Regular
Expression Matching: the Virtual Machine Approach", 2009). Both find the leftmost match, and of
those the one that backtracking would find first.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import pairwise
from math import inf
from typing import Any

from tfsession.kernels.regex_syntax import (
    Alt,
    At,
    Cat,
    Chars,
    Group,
    PatternError,
    Ranges,
    Repeat,
    read,
)

Spans = list[int]

_MOST_WAYS = 1e6
_MOST_CODE = 20_000
_AT = {
    "begin": r"\A", "end": r"\Z", "line begin": "(?m:^)", "line end": "(?m:$)",
    "word": r"(?a:\b)",
}  # fmt: skip


class Regex:
    """A pattern, ready to match.

    Args:
        pattern: in RE2's syntax.

    Raises:
        PatternError: it is none.
    """

    def __init__(self, pattern: str) -> None:
        self._tree, self.groups = read(pattern)
        self._code = _Code(self._tree)
        self._python = re.compile(_python(self._tree)) if _is_plain(self._tree) else None

    def full_match(self, text: str) -> bool:
        """Whether the pattern fits the whole text."""
        if self._python is not None and _ways(self._tree, len(text)) <= _MOST_WAYS:
            return self._python.fullmatch(text) is not None
        return self._code.run(text, 0, is_full=True) is not None

    def search(self, text: str, start: int) -> Spans | None:
        """Where the first match from `start` on, and its groups, begin and end; -1 for none."""
        ways = _ways(self._tree, len(text)) * (len(text) + 1)
        if self._python is not None and ways <= _MOST_WAYS:
            match = self._python.search(text, start)
            if match is None:
                return None
            return [edge for n in range(self.groups + 1) for edge in match.span(n)]
        return self._code.run(text, start)


# --- for Python's re ------------------------------------------------------------------------------


def _is_plain(tree: Any) -> bool:
    """Whether Python means the same: above all, what is repeated is never empty."""
    if isinstance(tree, Cat | Alt):
        return all(map(_is_plain, tree.parts))
    if isinstance(tree, Group):
        return _is_plain(tree.part)
    if isinstance(tree, Repeat):
        return _is_plain(tree.part) and not _may_be_empty(tree.part)
    return tree != At("no word")  # which Python does not see in an empty text


def _may_be_empty(tree: Any) -> bool:
    if isinstance(tree, Cat):
        return all(map(_may_be_empty, tree.parts))
    if isinstance(tree, Alt):
        return any(map(_may_be_empty, tree.parts))
    if isinstance(tree, Repeat):
        return tree.least == 0 or _may_be_empty(tree.part)
    return _may_be_empty(tree.part) if isinstance(tree, Group) else isinstance(tree, At)


def _python(tree: Any) -> str:
    """The tree in the syntax of `re`."""
    if isinstance(tree, Chars):
        if not tree.ranges:
            return r"(?!)"
        return "[" + "".join(f"{_escaped(a)}-{_escaped(b)}" for a, b in tree.ranges) + "]"
    if isinstance(tree, At):
        return _AT[tree.place]
    if isinstance(tree, Group):
        return f"({_python(tree.part)})"
    if isinstance(tree, Repeat):
        most = "" if tree.most is None else tree.most
        lazy = "" if tree.is_greedy else "?"
        return f"(?:{_python(tree.part)}){{{tree.least},{most}}}{lazy}"
    parts = map(_python, tree.parts)
    return "".join(parts) if isinstance(tree, Cat) else f"(?:{'|'.join(parts)})"


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


def _ways(tree: Any, length: int) -> float:
    """At most how many ways there are to match at one place of a text of that length."""
    if isinstance(tree, Cat):
        ways: float = 1
        for part in tree.parts:
            ways *= _ways(part, length)
        return ways
    if isinstance(tree, Alt):
        each = [_ways(part, length) for part in tree.parts]
        return max(each) if _are_apart(tree.parts) else sum(each)
    if isinstance(tree, Group):
        return _ways(tree.part, length)
    if isinstance(tree, Repeat):
        inner = _ways(tree.part, length)
        most = length if tree.most is None else tree.most
        if inner > 1:
            # Each turn multiplies them.
            return inf if most > 60 else inner**most * (most - tree.least + 1)
        return max(most - tree.least, 0) + 1
    return 1


def _are_apart(parts: tuple[Any, ...]) -> bool:
    """Whether the first character tells which part may match."""
    seen: list[tuple[int, int]] = []
    for part in parts:
        first = part
        while isinstance(first, Cat | Group):
            first = first.part if isinstance(first, Group) else (first.parts or (None,))[0]
        if not isinstance(first, Chars):
            return False
        seen += first.ranges
    seen.sort()
    return all(a[1] < b[0] for a, b in pairwise(seen))


# --- the virtual machine --------------------------------------------------------------------------

_CHARS, _SPLIT, _JUMP, _SAVE, _PLACE, _MATCH = range(6)


class _Code:
    """Instructions: (kind, argument, argument)."""

    def __init__(self, tree: Any) -> None:
        self._list: list[Any] = []
        self._emit(tree)
        self._add(_MATCH)

    def _add(self, kind: int, first: Any = None, second: Any = None) -> int:
        if len(self._list) >= _MOST_CODE:
            raise PatternError("pattern too large - compile failed")
        self._list.append([kind, first, second])
        return len(self._list) - 1

    def _emit(self, tree: Any) -> None:
        if isinstance(tree, Chars):
            self._add(_CHARS, _Set(tree.ranges))
        elif isinstance(tree, At):
            self._add(_PLACE, tree.place)
        elif isinstance(tree, Cat):
            for part in tree.parts:
                self._emit(part)
        elif isinstance(tree, Group):
            self._add(_SAVE, 2 * tree.number)
            self._emit(tree.part)
            self._add(_SAVE, 2 * tree.number + 1)
        elif isinstance(tree, Alt):
            self._emit_alternatives(tree)
        else:
            self._emit_repeat(tree)

    def _emit_alternatives(self, tree: Alt) -> None:
        ends = []
        for part in tree.parts[:-1]:
            split = self._add(_SPLIT)
            self._emit(part)
            ends.append(self._add(_JUMP))
            self._list[split][1:] = split + 1, len(self._list)
        self._emit(tree.parts[-1])
        for end in ends:
            self._list[end][1] = len(self._list)

    def _emit_repeat(self, tree: Repeat) -> None:
        is_endless = tree.most is None
        # Where there is no limit, the last turn that must be is the one that goes on.
        for _ in range(tree.least - (is_endless and tree.least > 0)):
            self._emit(tree.part)
        if is_endless:
            enter = self._add(_SPLIT) if tree.least == 0 else None
            start = len(self._list)
            self._emit(tree.part)
            again = self._add(_SPLIT)
            for split in (again,) if enter is None else (enter, again):
                targets = start, len(self._list)
                self._list[split][1:] = targets if tree.is_greedy else targets[::-1]
            return
        splits = []
        for _ in range(tree.most - tree.least):
            splits.append(self._add(_SPLIT))
            self._emit(tree.part)
        for split in splits:
            targets = split + 1, len(self._list)
            self._list[split][1:] = targets if tree.is_greedy else targets[::-1]

    def run(self, text: str, start: int, is_full: bool = False) -> Spans | None:
        """The first match from `start` on; with `is_full` at the start, and up to the end."""
        code, count = self._list, len(text)
        size = 1 + max((c[1] for c in code if c[0] == _SAVE), default=1)
        found: list[int] | None = None
        threads: list[tuple[int, list[int]]] = []
        for at in range(start, count + 1):
            if found is None and (at == start or not is_full):
                first = [-1] * size
                first[0] = at
                self._follow(0, first, text, at, threads, {pc for pc, _ in threads})
            if not threads:
                if found is not None or is_full:
                    break
                continue
            letter = text[at] if at < count else ""
            following: list[tuple[int, list[int]]] = []
            seen: set[int] = set()
            for pc, spans in threads:
                instruction = code[pc]
                if instruction[0] == _MATCH:
                    if is_full and at < count:
                        continue
                    found = [spans[0], at, *spans[2:]]
                    break
                if letter and letter in instruction[1]:
                    self._follow(pc + 1, spans, text, at + 1, following, seen)
            threads = following
        return found

    def _follow(
        self, pc: int, spans: list[int], text: str, at: int, threads: Any, seen: set[int]
    ) -> None:
        """Add the threads that begin at `pc`, in the order of their priority."""
        code = self._list
        pending = [(pc, spans)]
        while pending:
            pc, spans = pending.pop()
            if pc in seen:
                continue
            seen.add(pc)
            kind, first, second = code[pc]
            if kind == _JUMP:
                pending.append((first, spans))
            elif kind == _SPLIT:
                pending.append((second, spans))
                pending.append((first, spans))
            elif kind == _SAVE:
                pending.append((pc + 1, [*spans[:first], at, *spans[first + 1 :]]))
            elif kind == _PLACE:
                if _is_at(first, text, at):
                    pending.append((pc + 1, spans))
            else:
                threads.append((pc, spans))


class _Set:
    """A set of characters that remembers what it was asked."""

    def __init__(self, ranges: Ranges) -> None:
        self._lows = [low for low, _ in ranges]
        self._highs = [high for _, high in ranges]
        self._known: dict[str, bool] = {}

    def __contains__(self, letter: str) -> bool:
        known = self._known.get(letter)
        if known is None:
            code = ord(letter)
            place = bisect_right(self._lows, code) - 1
            known = self._known[letter] = place >= 0 and code <= self._highs[place]
        return known


def _is_at(place: str, text: str, at: int) -> bool:
    if place == "begin":
        return at == 0
    if place == "end":
        return at == len(text)
    if place == "line begin":
        return at == 0 or text[at - 1] == "\n"
    if place == "line end":
        return at == len(text) or text[at] == "\n"
    is_edge = _is_word(text, at - 1) != _is_word(text, at)
    return is_edge == (place == "word")


def _is_word(text: str, at: int) -> bool:
    letter = text[at] if 0 <= at < len(text) else " "
    return letter.isascii() and (letter.isalnum() or letter == "_")
