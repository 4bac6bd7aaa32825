"""What several operations compute together, as data: numbered values, and how each is made.

A program knows the shapes and dtypes of its values, and nothing of graphs, devices or memory. From
it code can be written that computes all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

__all__ = [
    "DTYPES",
    "FUNCTIONS",
    "REDUCTIONS",
    "Call",
    "Known",
    "Program",
    "Recorder",
    "Step",
    "Value",
    "called",
]

Sizes = tuple[int, ...]

_INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64"
_FLOATS = "bfloat16 float16 float32 float64"
DTYPES: Final = frozenset(f"bool {_INTEGERS} {_FLOATS}".split())

# Ufuncs, and the kinds of numbers on which a program may call them: b, i, u as NumPy has them, and
# f for all floating ones. `where` and `astype` are no ufuncs, but steps like them.
_TABLE = """
    biuf: add multiply equal not_equal maximum minimum less less_equal greater greater_equal
    biuf: absolute where astype
    iuf: subtract negative square sign positive conjugate floor_divide remainder fmod
    biu: bitwise_and bitwise_or bitwise_xor invert
    iu: left_shift right_shift
    b: logical_and logical_or logical_xor logical_not
    f: isnan isinf isfinite signbit fmax fmin reciprocal divide power arctan2 copysign
    f: hypot sqrt exp exp2 expm1 log log2 log10 log1p cbrt floor ceil trunc rint
    f: sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh arctanh
"""
FUNCTIONS: Final[dict[str, str]] = {
    name: kinds
    for line in _TABLE.strip().split("\n")
    for kinds, names in [line.strip().split(": ")]
    for name in names.split()
}
# Ufuncs that make one number of many, by the names of a step.
REDUCTIONS: Final[dict[str, str]] = {
    "sum": "add",
    "prod": "multiply",
    "max": "maximum",
    "min": "minimum",
    "all": "logical_and",
    "any": "logical_or",
}


@dataclass(frozen=True, slots=True)
class Value:
    """What is known of a value: its dtype's name, and its shape."""

    dtype: str
    shape: Sizes


@dataclass(frozen=True, slots=True)
class Step:
    """How a value is made of others.

    `name` is one of `FUNCTIONS`, which is called on arguments of the dtype `loop`, the condition of
    `where` apart, and whose arguments broadcast; or of `REDUCTIONS`, along `axes`, with the reduced
    axes dropped; or "literal", `text` being the number as Python writes it; or "places", a vector
    of the numbers from 0 on; or "view", where
    `axes` tells for each axis of the argument which axis of the result it is, -1 for one of size 1
    that is dropped, and other axes of the result are new.
    """

    name: str
    arguments: tuple[int, ...]
    value: Value
    loop: str = ""
    axes: Sizes = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """Values are numbered: the inputs, then what each step makes. `results` are their numbers."""

    inputs: tuple[Value, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    def value(self, number: int) -> Value:
        """What is known of a value."""
        given = len(self.inputs)
        return self.inputs[number] if number < given else self.steps[number - given].value

    def step(self, number: int) -> Step | None:
        """How a value is made; None for an input."""
        given = len(self.inputs)
        return None if number < given else self.steps[number - given]


class Recorder:
    """Notes steps; equal ones once."""

    def __init__(self) -> None:
        self._inputs: list[Value] = []
        self._steps: list[Step] = []
        self._known: dict[Step, int] = {}

    def input(self, value: Value) -> int:
        """The number of one more input; all come before the first step."""
        assert not self._steps, "inputs come first"
        self._inputs.append(value)
        return len(self._inputs) - 1

    def add(self, step: Step) -> int:
        """The number of what a step gives."""
        number = self._known.get(step)
        if number is None:
            number = self._known[step] = len(self._inputs) + len(self._steps)
            self._steps.append(step)
        return number

    def program(self, results: Sequence[int]) -> Program:
        """What was noted, as far as these results need it."""
        needed = set(results)
        given, end = len(self._inputs), len(self._inputs) + len(self._steps)
        for number in reversed(range(given, end)):
            if number in needed:
                needed.update(self._steps[number - given].arguments)
        kept = [number for number in range(given, end) if number in needed]
        new = {n: n for n in range(given)} | {n: given + place for place, n in enumerate(kept)}
        steps = []
        for number in kept:
            step = self._steps[number - given]
            steps.append(replace(step, arguments=tuple([new[n] for n in step.arguments])))
        return Program(tuple(self._inputs), tuple(steps), tuple([new[n] for n in results]))


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """An argument that is known before all: a number, or what a kernel takes on the host."""

    value: Any
    is_on_host: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One operation of a group: what its kernel is called with.

    `bind(xp)` gives the kernel as a function of its inputs alone; `arguments` are numbers of values
    or what is known; each of its `outputs` is a value of its own, in a tuple if `gives_tuple`.
    """

    bind: Callable[[Any], Callable[..., Any]]
    arguments: tuple[int | Known, ...]
    outputs: int = 1
    gives_tuple: bool = False


def called(
    calls: Sequence[Call],
    results: Sequence[int],
    xp: Any,
    given: Sequence[Any],
    known: Callable[[Any], Any] = lambda value: value,
) -> list[Any]:
    """The results of kernels called one after another; `known` makes numbers those of `xp`."""
    values = list(given)
    for call in calls:
        arguments = [
            values[argument]
            if isinstance(argument, int)
            else argument.value
            if argument.is_on_host
            else known(argument.value)
            for argument in call.arguments
        ]
        made = call.bind(xp)(*arguments)
        values.extend(made if call.gives_tuple else (made,))
    return [values[number] for number in results]
