"""How LLVM writes the loop that computes an element-wise program.

Each operation is the instruction of NumPy's: rounded after each step, nothing contracted, nothing
reordered, so that results have NumPy's bits; functions like `exp` are `elementwise_functions`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from tfsession.devices.program import Program, Step
from tfsession.kernels.elementwise_functions import FUNCTIONS, Lines, number

__all__ = ["Unwritable", "loop_text"]


# Vectors that are computed side by side: one has to wait for itself at each step.
_AT_ONCE = 4


class Unwritable(Exception):
    """A program of which some step stays with NumPy."""


class _Kind(NamedTuple):
    """A dtype: what it is in a variable, b, i, u or f, and its bytes in memory."""

    name: str
    kind: str
    nbytes: int

    @property
    def stored(self) -> str:
        """What it is in memory."""
        return "i8" if self.kind == "b" else self.name


_KINDS: Final = {
    "bool": _Kind("i1", "b", 1),
    **{f"int{8 * n}": _Kind(f"i{8 * n}", "i", n) for n in (1, 2, 4, 8)},
    **{f"uint{8 * n}": _Kind(f"i{8 * n}", "u", n) for n in (1, 2, 4, 8)},
    "float32": _Kind("float", "f", 4),
    "float64": _Kind("double", "f", 8),
}
_FLOAT: Final = {"add": "fadd", "subtract": "fsub", "multiply": "fmul", "divide": "fdiv"}
_INTEGER: Final = {"add": "add", "subtract": "sub", "multiply": "mul"}
_BITWISE: Final = {"bitwise_and": "and", "bitwise_or": "or", "bitwise_xor": "xor"}
_TRUTH: Final = {
    **_BITWISE,
    "logical_and": "and",
    "logical_or": "or",
    "logical_xor": "xor",
    "add": "or",
    "multiply": "and",
    "maximum": "or",
    "minimum": "and",
}
_COMPARISONS: Final = {
    "equal": ("oeq", "eq", "eq"),
    "not_equal": ("une", "ne", "ne"),
    "less": ("olt", "slt", "ult"),
    "less_equal": ("ole", "sle", "ule"),
    "greater": ("ogt", "sgt", "ugt"),
    "greater_equal": ("oge", "sge", "uge"),
}
_OWN: Final = {"sqrt": "sqrt", "floor": "floor", "ceil": "ceil", "trunc": "trunc", "rint": "rint"}
_SAME: Final = ("positive", "conjugate")


def _compared(b: Lines, name: str, kind: _Kind, one: str, other: str) -> str:
    floating, signed, unsigned = _COMPARISONS[name]
    if kind.kind == "f":
        return b(f"fcmp {floating} {kind.name} {one}, {other}")
    how = signed if kind.kind == "i" else unsigned
    return b(f"icmp {how} {kind.name} {one}, {other}")


def _extreme(b: Lines, name: str, kind: _Kind, one: str, other: str) -> str:
    """The greater or the lesser of two, of equal ones the second; NaN goes on."""
    how = "greater" if name == "maximum" else "less"
    is_first = _compared(b, how, kind, one, other)
    if kind.kind == "f":
        is_nan = b(f"fcmp uno {kind.name} {one}, {one}")
        is_first = b(f"or i1 {is_first}, {is_nan}")
    return b.choose(is_first, one, other, kind.name)


def _of_floats(b: Lines, name: str, kind: _Kind, arguments: Sequence[str]) -> str:
    own, (x, *_) = kind.name, arguments
    if name in _FLOAT:
        return b(f"{_FLOAT[name]} {own} {', '.join(arguments)}")
    if name == "negative":
        return b(f"fneg {own} {x}")
    if name == "square":
        return b(f"fmul {own} {x}, {x}")
    if name == "reciprocal":
        return b(f"fdiv {own} {number(1, own)}, {x}")
    if name == "absolute":
        return b.call("fabs", own, x)
    if name in _OWN:
        return b.call(_OWN[name], own, x)
    if name == "copysign":
        return b.call("copysign", own, *arguments)
    if name == "isnan":
        return b(f"fcmp uno {own} {x}, {x}")
    if name in ("isinf", "isfinite"):
        how = "oeq" if name == "isinf" else "olt"
        return b(f"fcmp {how} {own} {b.call('fabs', own, x)}, {number(math.inf, own)}")
    if name == "sign":
        one, zero = number(1, own), number(0, own)
        above = b(f"fcmp ogt {own} {x}, {zero}")
        below = b(f"fcmp olt {own} {x}, {zero}")
        is_zero = b(f"fcmp oeq {own} {x}, {zero}")
        rest = b.choose(is_zero, zero, x, own)
        return b.choose(above, one, b.choose(below, number(-1, own), rest, own), own)
    if name in FUNCTIONS and own == "float":
        return FUNCTIONS[name](b, x)
    raise Unwritable(name)


def _of_integers(b: Lines, name: str, kind: _Kind, arguments: Sequence[str]) -> str:
    own, (x, *_) = kind.name, arguments
    if name in _INTEGER or name in _BITWISE:
        return b(f"{_INTEGER.get(name) or _BITWISE[name]} {own} {', '.join(arguments)}")
    if name == "invert":
        return b(f"xor {own} {x}, -1")
    if name == "square":
        return b(f"mul {own} {x}, {x}")
    if name == "negative":
        return b(f"sub {own} 0, {x}")
    if name == "absolute" and kind.kind == "u":
        return x
    if name == "absolute":
        is_below = b(f"icmp slt {own} {x}, 0")
        return b.choose(is_below, b(f"sub {own} 0, {x}"), x, own)
    raise Unwritable(name)


def _of_truths(b: Lines, name: str, arguments: Sequence[str]) -> str:
    if name in _TRUTH:
        return b(f"{_TRUTH[name]} i1 {', '.join(arguments)}")
    if name in ("logical_not", "invert"):
        return b(f"xor i1 {arguments[0]}, true")
    if name == "absolute":
        return arguments[0]
    raise Unwritable(name)


def _converted(b: Lines, x: str, source: _Kind, target: _Kind) -> str:
    if source == target:
        return x
    kinds = source.kind + target.kind
    if target.kind == "b":
        if source.kind == "f":
            return b(f"fcmp une {source.name} {x}, {number(0, source.name)}")
        return b(f"icmp ne {source.name} {x}, 0")
    if kinds == "ff":
        how = "fpext" if target.nbytes > source.nbytes else "fptrunc"
    elif target.kind == "f":
        how = "sitofp" if source.kind == "i" else "uitofp"
    elif source.kind == "f":
        raise Unwritable("what is out of range is as the processor has it")
    elif target.nbytes == source.nbytes and source.kind != "b":
        return x
    elif target.nbytes < source.nbytes:
        how = "trunc"
    else:
        how = "sext" if source.kind == "i" else "zext"
    return b(f"{how} {source.name} {x} to {target.name}")


def _literal(text: str, kind: _Kind) -> str:
    if kind.kind == "b":
        return text.lower()
    return number(float(text), kind.name) if kind.kind == "f" else text


def _kind(dtype: str) -> _Kind:
    found = _KINDS.get(dtype)
    if found is None:
        raise Unwritable(dtype)
    return found


def _written(b: Lines, step: Step, arguments: Sequence[str]) -> str:
    """What a step gives for one element."""
    made = _kind(step.value.dtype)
    if step.name == "literal":
        return _literal(step.text, made)
    if step.name == "view":
        return arguments[0]
    if step.axes or step.name == "places" or not step.loop:
        raise Unwritable(step.name)
    loop = _kind(step.loop)
    if step.name == "astype":
        return _converted(b, arguments[0], loop, made)
    if step.name == "where":
        return b.choose(*arguments, made.name)
    if step.name in _SAME:
        return arguments[0]
    if step.name in _COMPARISONS:
        return _compared(b, step.name, loop, *arguments)
    if step.name in ("maximum", "minimum") and loop.kind != "b":
        return _extreme(b, step.name, loop, *arguments)
    if loop.kind == "b":
        return _of_truths(b, step.name, arguments)
    return (_of_floats if loop.kind == "f" else _of_integers)(b, step.name, loop, arguments)


def _loaded(b: Lines, kind: _Kind, place: str, mark: str) -> str:
    found = b(f"load {kind.stored}, ptr {place}{mark}")
    return b(f"icmp ne i8 {found}, 0") if kind.kind == "b" else found


def _store(b: Lines, kind: _Kind, value: str, place: str, mark: str) -> None:
    if kind.kind == "b":
        value = b(f"zext i1 {value} to i8")
    b.lines.append(f"store {kind.stored} {value}, ptr {place}{mark}")


class _Loop:
    """A function that computes a program for as many elements as it is told.

    Where arguments lie as `repeats` says, one behind the other or the same for all elements, it
    goes through them by vectors; else by single elements.
    """

    def __init__(self, program: Program, repeats: Sequence[bool]) -> None:
        self._program = program
        self._repeats = repeats
        self._taken = [_kind(value.dtype) for value in program.inputs]
        self._given = [_kind(program.value(n).dtype) for n in program.results]
        self._kinds = [*self._taken, *self._given]
        self.b = Lines()

    def text(self, name: str) -> str:
        """The module."""
        b = self.b
        self._arguments()
        mark = ", !llvm.access.group !0"
        b.lines.append("br i1 %any, label %pick, label %end")
        b.lines.append("pick:")
        b.lines.append(f"br i1 {self._is_fast()}, label %fast, label %slow")
        b.lines.append("fast:")
        same = {
            index: _loaded(b, self._taken[index], f"%p{index}", "")
            for index, repeats in enumerate(self._repeats)
            if repeats
        }
        self._turns("quick", "fast", mark, same, ", !llvm.loop !1")
        self._turns("slow", "pick", "", {}, ", !llvm.loop !4")
        b.lines += ["end:", "ret void"]
        head = f"define void @{name}(ptr %places, ptr %counts, ptr %steps, ptr %none) {{"
        tail = ["}", "!0 = distinct !{}", "!1 = distinct !{!1, !2, !3}"]
        tail.append('!2 = !{!"llvm.loop.parallel_accesses", !0}')
        tail.append(f'!3 = !{{!"llvm.loop.interleave.count", i32 {_AT_ONCE}}}')
        tail.append("!4 = distinct !{!4, !5, !6}")
        tail.append('!5 = !{!"llvm.loop.vectorize.enable", i1 false}')
        tail.append('!6 = !{!"llvm.loop.unroll.disable"}')
        return "\n".join([*sorted(b.declared), head, *b.lines, *tail, ""])

    def _arguments(self) -> None:
        lines = self.b.lines
        lines.append("%n = load i64, ptr %counts")
        lines.append("%any = icmp sgt i64 %n, 0")
        for index in range(len(self._kinds)):
            lines.append(f"%a{index} = getelementptr ptr, ptr %places, i64 {index}")
            lines.append(f"%p{index} = load ptr, ptr %a{index}")
            lines.append(f"%b{index} = getelementptr i64, ptr %steps, i64 {index}")
            lines.append(f"%s{index} = load i64, ptr %b{index}")

    def _is_fast(self) -> str:
        b, result = self.b, "true"
        for index, kind in enumerate(self._kinds):
            repeats = index < len(self._repeats) and self._repeats[index]
            fits = b(f"icmp eq i64 %s{index}, {0 if repeats else kind.nbytes}")
            result = b(f"and i1 {result}, {fits}")
        return result

    def _turns(self, label: str, before: str, mark: str, same: dict[int, str], end: str) -> None:
        """The turns of a loop; `same` are values that are the same in all."""
        b, is_quick = self.b, bool(mark)
        if is_quick:
            b.lines.append(f"br label %{label}")
        b.lines.append(f"{label}:")
        turn, following = f"%i.{label}", f"%j.{label}"
        b.lines.append(f"{turn} = phi i64 [0, %{before}], [{following}, %{label}]")

        def place(index: int) -> str:
            if is_quick:
                stored = self._kinds[index].stored
                return b(f"getelementptr inbounds {stored}, ptr %p{index}, i64 {turn}")
            return b(f"getelementptr i8, ptr %p{index}, i64 {b(f'mul i64 {turn}, %s{index}')}")

        values: list[str] = [
            same[index] if index in same else _loaded(b, kind, place(index), mark)
            for index, kind in enumerate(self._taken)
        ]
        for step in self._program.steps:
            values.append(_written(b, step, [values[n] for n in step.arguments]))
        for index, result in enumerate(self._program.results):
            where = place(len(self._taken) + index)
            _store(b, self._given[index], values[result], where, mark)
        b.lines.append(f"{following} = add nuw nsw i64 {turn}, 1")
        more = b(f"icmp slt i64 {following}, %n")
        b.lines.append(f"br i1 {more}, label %{label}, label %end{end}")


def loop_text(program: Program, repeats: Sequence[bool], name: str) -> str:
    """A module with the function of this name: NumPy's inner loop for a program.

    Args:
        program: element-wise; values of other shapes than its results are taken as they are.
        repeats: for each input, whether it is the same for all elements where vectors are used.
        name: of the function.

    Raises:
        Unwritable: some step stays with NumPy.
    """
    return _Loop(program, repeats).text(name)
