"""The syntax of RE2's regular expressions, read into trees.

What its documentation page "Syntax" lists is read, but for `\\C`, classes of scripts such as
`\\p{Greek}`, and what RE2 refuses itself. Case, and what a dot stands for, are settled here: a tree
is made of sets of characters, and needs no flags.
"""

from __future__ import annotations

import sys
import unicodedata
from functools import cache
from typing import Any, NamedTuple

# Ranges of code points, in order, that do not touch.
Ranges = tuple[tuple[int, int], ...]

_MOST_REPEATS = 1000


class Chars(NamedTuple):
    """One character of a set."""

    ranges: Ranges


class At(NamedTuple):
    """A place: "begin", "end", "line begin", "line end", "word" or "no word"."""

    place: str


class Cat(NamedTuple):
    """One after the other."""

    parts: tuple[Any, ...]


class Alt(NamedTuple):
    """The first one that leads to a match."""

    parts: tuple[Any, ...]


class Repeat(NamedTuple):
    """From `least` to `most` times, as often or as seldom as possible; no limit when None."""

    part: Any
    least: int
    most: int | None
    is_greedy: bool


class Group(NamedTuple):
    """What is remembered under a number."""

    part: Any
    number: int


class PatternError(ValueError):
    """The pattern is none; the text says why, in RE2's words."""


# --- sets of characters ---------------------------------------------------------------------------

_LAST = sys.maxunicode
# Bytes that are no UTF-8 are decoded to lone surrogates, which no set has.
_ALL: Ranges = ((0, 0xD7FF), (0xE000, _LAST))


def _union(*sets: Ranges) -> Ranges:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for ranges in sets for pair in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


def _complement(ranges: Ranges) -> Ranges:
    gaps, start = [], 0
    for low, high in _union(ranges, ((0xD800, 0xDFFF),)):
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        gaps.append((start, _LAST))
    return tuple(gaps)


def _single(*texts: str) -> Ranges:
    return _union(tuple((ord(c), ord(c)) for text in texts for c in text))


_DIGITS: Ranges = ((48, 57),)
_WORD: Ranges = _union(_DIGITS, ((65, 90), (97, 122)), _single("_"))
_PERL = {"d": _DIGITS, "s": _single("\t\n\f\r "), "w": _WORD}
_POSIX: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "ascii": ((0, 127),),
    "blank": _single("\t "),
    "cntrl": ((0, 31), (127, 127)),
    "digit": _DIGITS,
    "graph": ((33, 126),),
    "lower": ((97, 122),),
    "print": ((32, 126),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}


@cache
def _category(name: str) -> Ranges:
    """All characters of a general category, such as "L" or "Lu"; none if there is none."""
    if name == "Any":
        return _ALL
    found: list[tuple[int, int]] = []
    for low, high in _ALL if 0 < len(name) <= 2 else ():
        start = None
        for code in range(low, high + 2):
            fits = code <= high and unicodedata.category(chr(code)).startswith(name)
            if fits and start is None:
                start = code
            elif not fits and start is not None:
                found.append((start, code - 1))
                start = None
    return tuple(found)


@cache
def _orbits() -> dict[int, frozenset[int]]:
    """For each letter that has other cases, all of them."""
    groups: dict[str, set[int]] = {}
    for code in range(0x1F000):
        letter = chr(code)
        lower = letter.lower()
        if len(lower) == 1 and (lower != letter or letter.upper() != letter):
            folded = letter.casefold()
            key = folded if len(folded) == 1 else lower
            groups.setdefault(key, set()).add(code)
    return {code: frozenset(group) for group in groups.values() for code in group if group}


def _folded(ranges: Ranges) -> Ranges:
    """The set with all cases of its letters."""
    more = [
        (other, other)
        for code, others in _orbits().items()
        if any(low <= code <= high for low, high in ranges)
        for other in others
    ]
    return _union(ranges, tuple(more))


# --- the reader -----------------------------------------------------------------------------------

_ESCAPES = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
_PLACES = {"A": "begin", "z": "end", "b": "word", "B": "no word"}


class _Reader:
    """Reads a pattern from left to right; `groups` counts what is remembered."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.flags = ""
        self.groups = 0
        self.depth = 0

    def next_is(self, *starts: str) -> bool:
        return self.text.startswith(starts, self.at)

    def rest(self) -> str:
        return self.text[self.at :]

    def alternatives(self) -> Any:
        """What stands up to the end of the group, or of the pattern."""
        outer = self.flags
        self.depth += 1
        if self.depth > 80:
            raise PatternError("expression nests too deeply: " + self.text)
        branches = [self.sequence()]
        while self.next_is("|"):
            self.at += 1
            branches.append(self.sequence())
        self.flags = outer
        self.depth -= 1
        return branches[0] if len(branches) == 1 else Alt(tuple(branches))

    def sequence(self) -> Any:
        parts: list[Any] = []
        while self.at < len(self.text) and not self.next_is("|", ")"):
            if self.next_is("\\Q"):
                stop = self.text.find("\\E", self.at)
                stop = len(self.text) if stop < 0 else stop
                quoted = self.text[self.at + 2 : stop]
                self.at = stop + 2
                parts += [self.literal(letter) for letter in quoted[:-1]]
                if not quoted:
                    continue
                atom = self.literal(quoted[-1])
            elif self.next_is("\\E"):
                self.at += 2
                continue
            else:
                atom = self.atom()
            if atom is not None:
                parts.append(self.repeated(atom))
        return parts[0] if len(parts) == 1 else Cat(tuple(parts))

    def repeated(self, atom: Any) -> Any:
        """The atom, with the operator that may follow."""
        start = self.at
        bounds = self.bounds()
        if bounds is None:
            return atom
        is_greedy = "U" not in self.flags
        if self.next_is("?"):
            self.at += 1
            is_greedy = not is_greedy
        end = self.at
        if self.bounds() is not None:
            raise PatternError(f"bad repetition operator: {self.text[start : self.at]}")
        self.at = end
        return Repeat(atom, *bounds, is_greedy)

    def bounds(self) -> tuple[int, int | None] | None:
        """The numbers of a repetition operator; None if there is none."""
        simple = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        operator = self.text[self.at : self.at + 1]
        if operator in simple:
            self.at += 1
            return simple[operator]
        if operator != "{":
            return None
        stop = self.text.find("}", self.at)
        least, comma, most = self.text[self.at + 1 : max(stop, self.at)].partition(",")
        numbers = (least, most) if most else (least,)
        if stop < 0 or not all(n.isascii() and n.isdigit() for n in numbers):
            return None  # an ordinary character
        low = int(least)
        high = int(most) if most else (None if comma else low)
        if max(low, high or 0) > _MOST_REPEATS or (high is not None and high < low):
            raise PatternError(f"invalid repetition size: {self.text[self.at : stop + 1]}")
        self.at = stop + 1
        return low, high

    def literal(self, letter: str) -> Chars:
        ranges = _single(letter)
        return Chars(_folded(ranges) if "i" in self.flags else ranges)

    def atom(self) -> Any:
        letter = self.text[self.at]
        if letter == "(":
            return self.group()
        if letter == "[":
            return self.char_class()
        if letter == "\\":
            return self.escape()
        self.at += 1
        if letter in "*+?":
            raise PatternError(f"no argument for repetition operator: {letter}")
        if letter == ".":
            return Chars(_ALL if "s" in self.flags else _complement(_single("\n")))
        if letter in "^$":
            place = "begin" if letter == "^" else "end"
            return At(f"line {place}" if "m" in self.flags else place)
        return self.literal(letter)

    def group(self) -> Any:
        start = self.at
        if not self.next_is("(?"):
            self.at += 1
            return self.remembered(start)
        if self.next_is("(?P<"):
            stop = self.text.find(">", self.at)
            name = self.text[self.at + 4 : stop] if stop > 0 else ""
            shown = self.text[start : stop + 1] if stop > 0 else self.rest()
            if not name.isidentifier():
                raise PatternError(f"invalid named capture group: {shown}")
            self.at = stop + 1
            return self.remembered(start)
        return self.flagged(start)

    def remembered(self, start: int) -> Group:
        self.groups += 1
        number = self.groups
        part = self.alternatives()
        self.close(start)
        return Group(part, number)

    def close(self, start: int) -> None:
        if not self.next_is(")"):
            raise PatternError(f"missing ): {self.text}")
        self.at += 1

    def flagged(self, start: int) -> Any:
        """`(?flags)`, for the rest of the group, or `(?flags:...)`."""
        self.at += 2
        flags, adds, seen = self.flags, True, False
        while self.at < len(self.text):
            letter = self.text[self.at]
            self.at += 1
            if letter in "imsU":
                flags = flags.replace(letter, "") + letter * adds
                seen = True
            elif letter == "-" and adds:
                adds = seen = False
            elif letter in ":)" and (adds or seen):
                if letter == ")":
                    self.flags = flags
                    return None
                outer, self.flags = self.flags, flags
                part = self.alternatives()
                self.flags = outer
                self.close(start)
                return part
            else:
                break
        else:
            raise PatternError(f"missing ): {self.text}")
        raise PatternError(f"invalid perl operator: {self.text[start : self.at]}")

    def escape(self) -> Any:
        """What stands behind a backslash, outside of brackets."""
        letter = self.text[self.at + 1 : self.at + 2]
        if letter in _PLACES and letter:
            self.at += 2
            return At(_PLACES[letter])
        ranges = self.named_set()
        if ranges is not None:
            return Chars(ranges)
        return self.literal(chr(self.code()))

    def named_set(self) -> Ranges | None:
        r"""The set of `\d` or `\pL` and their like; None where something else stands."""
        letter = self.text[self.at + 1 : self.at + 2]
        if letter and letter in "dswDSW":
            self.at += 2
            ranges = _PERL[letter.lower()]
            return ranges if letter.islower() else _complement(ranges)
        if not letter or letter not in "pP":
            return None
        start = self.at
        self.at += 3
        name = self.text[start + 2 : start + 3]
        if name == "{":
            stop = self.text.find("}", start)
            if stop < 0:
                raise PatternError(f"invalid character class range: {self.text[start:]}")
            name, self.at = self.text[start + 3 : stop], stop + 1
        ranges = _category(name.removeprefix("^"))
        if not ranges:
            shown = self.text[start : self.at]
            hint = " (classes of scripts are not known here)" if len(name) > 2 else ""
            raise PatternError(f"invalid character class range: {shown}{hint}")
        return _complement(ranges) if (letter == "P") != name.startswith("^") else ranges

    def code(self) -> int:
        """The code point that an escape stands for."""
        start, letter = self.at, self.text[self.at + 1 : self.at + 2]
        self.at += 2
        if not letter:
            raise PatternError("trailing \\")
        if letter in _ESCAPES:
            return _ESCAPES[letter]
        digits = ""
        if letter == "x":
            if self.next_is("{"):
                stop = self.text.find("}", self.at)
                digits, self.at = (
                    self.text[self.at + 1 : max(stop, self.at)],
                    max(stop, self.at) + 1,
                )
            else:
                digits = self.text[self.at : self.at + 2]
                self.at += 2
            if digits.isascii() and digits.isalnum() and len(digits) <= 8:
                try:
                    code = int(digits, 16)
                except ValueError:
                    code = _LAST + 1
                if code <= _LAST and (len(digits) == 2 or self.text[start + 2] == "{"):
                    return code
        elif letter in "01234567":
            digits = letter
            while len(digits) < 3 and self.text[self.at : self.at + 1] in tuple("01234567"):
                digits += self.text[self.at]
                self.at += 1
            if letter == "0" or len(digits) > 1:
                return int(digits, 8)
        elif letter.isascii() and not letter.isalnum():
            return ord(letter)
        raise PatternError(f"invalid escape sequence: {self.text[start : self.at]}")

    def char_class(self) -> Chars:
        start = self.at
        self.at += 1
        is_negated = self.next_is("^")
        self.at += is_negated
        sets: list[Ranges] = []
        is_first = True
        while is_first or not self.next_is("]"):
            if self.at >= len(self.text):
                raise PatternError(f"missing ]: {self.text[start:]}")
            is_first = False
            sets.append(self.class_item())
        self.at += 1
        ranges = _union(*sets)
        return Chars(_complement(ranges) if is_negated else ranges)

    def class_item(self) -> Ranges:
        """A set by name, a character, or a range of them."""
        start = self.at
        stop = self.text.find(":]", start + 2)
        if self.next_is("[:") and stop > 0:
            name = self.text[start + 2 : stop]
            ranges = _POSIX.get(name.removeprefix("^"))
            if ranges is None:
                shown = self.text[start : stop + 2]
                raise PatternError(f"invalid character class range: {shown}")
            self.at = stop + 2
            return _complement(ranges) if name.startswith("^") else ranges
        if self.next_is("\\"):
            named = self.named_set()
            if named is not None:
                return named
        low = high = self.class_code()
        if self.next_is("-") and not self.next_is("-]") and self.at + 1 < len(self.text):
            self.at += 1
            high = self.class_code()
            if high < low:
                raise PatternError(f"invalid character class range: {self.text[start : self.at]}")
        ranges = ((low, high),)
        return _folded(ranges) if "i" in self.flags else ranges

    def class_code(self) -> int:
        if self.next_is("\\"):
            return self.code()
        self.at += 1
        return ord(self.text[self.at - 1])


def read(pattern: str) -> tuple[Any, int]:
    """The tree of a pattern, and how many groups it remembers.

    Raises:
        PatternError: it is none, or of a kind that is not known here.
    """
    reader = _Reader(pattern)
    tree = reader.alternatives()
    if reader.at < len(pattern):
        raise PatternError(f"unexpected ): {pattern}")
    return tree, reader.groups
