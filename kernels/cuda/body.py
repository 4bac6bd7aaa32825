"""What all kernels are written with: operands, addresses, and the statements for one element."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from tfsession.devices.program import Program, Sizes, Step
from tfsession.devices.traced import dtype_named
from tfsession.kernels.cuda.expressions import STORED, VARIABLES, expression, literal
from tfsession.kernels.cuda.schedule import Places, argument_places, is_reduction

# Bytes that a thread reads or writes at once.
_WIDE = 16
_LARGEST_INT32 = (1 << 31) - 1


@dataclass(frozen=True)
class Array:
    """How a value lies in memory: its strides in elements, and whether 16 bytes can be read."""

    dtype: str
    shape: Sizes
    strides: Sizes
    is_aligned: bool = True


def contiguous(shape: Sizes) -> Sizes:
    """The strides of an array without gaps, in elements."""
    return tuple([prod(shape[axis + 1 :]) for axis in range(len(shape))])


@dataclass(frozen=True)
class Argument:
    """What a kernel is called with: the memory of a value, or a number."""

    declaration: str
    value: int = -1
    number: int = 0


@dataclass(frozen=True)
class Launch:
    """One call of a kernel, of which `source` is the text."""

    source: str
    name: str
    grid: tuple[int, int]
    block: tuple[int, int]
    arguments: tuple[Argument, ...]
    index: str


@dataclass(eq=False)
class Operand:
    """A value in memory, as it is read or written in a kernel: strides along the space's axes.

    Where it `is_places` there is no memory: its place, that the strides tell, is the value.
    """

    number: int
    name: str
    dtype: str
    strides: Sizes
    is_aligned: bool
    is_written: bool = False
    is_places: bool = False

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return int(dtype_named(self.dtype).itemsize)

    def moves(self, axes: Sequence[int]) -> bool:
        """Whether it has more than one place along these axes."""
        return any(self.strides[axis] for axis in axes)


@dataclass(eq=False)
class Axes:
    """Axes of a space that are gone through with one index, merged where all operands allow it.

    `sizes` and `strides[operand]` are those of the merged axes.
    """

    sizes: list[int]
    strides: dict[Operand, list[int]]

    @classmethod
    def merged(cls, space: Sizes, axes: Sequence[int], operands: Sequence[Operand]) -> Axes:
        """These axes of a space."""
        sizes: list[int] = []
        strides: dict[Operand, list[int]] = {operand: [] for operand in operands}
        for axis in axes:
            size = space[axis]
            if sizes and all(s[-1] == o.strides[axis] * size for o, s in strides.items()):
                sizes[-1] *= size
                for operand, own in strides.items():
                    own[-1] = operand.strides[axis]
                continue
            sizes.append(size)
            for operand, own in strides.items():
                own.append(operand.strides[axis])
        return cls(sizes or [1], {o: own or [0] for o, own in strides.items()})

    @property
    def count(self) -> int:
        """How many indices there are."""
        return prod(self.sizes)

    def lanes(self, wanted: int) -> int:
        """How many elements along the last axis can be read at once."""
        lanes = wanted
        while lanes > 1 and not self._fits(lanes):
            lanes //= 2
        return lanes

    def _fits(self, lanes: int) -> bool:
        if len(self.sizes) > 1 and self.sizes[-1] % lanes:
            return False
        for operand, strides in self.strides.items():
            if strides[-1] not in (0, 1):
                return False
            if strides[-1] == 1 and not operand.is_aligned:
                return False
            if strides[-1] == 1 and any(stride % lanes for stride in strides[:-1]):
                return False
        return True


@dataclass(eq=False)
class Kernel:
    """The text of a kernel as it grows.

    If it is `in_place`, what is written may be what is read, by the thread that has read it.
    """

    program: Program
    arrays: Mapping[int, Array]
    space: Sizes
    in_place: bool = False
    arguments: list[Argument] = field(default_factory=list)
    operands: dict[tuple[int, Sizes], Operand] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    depth: int = 1
    is_wide: bool = False

    # --- operands -------------------------------------------------------------------------------

    def operand(self, number: int, places: Places, is_written: bool = False) -> Operand:
        """A value that is read, or written, where its axes lie so."""
        step = self.program.step(number)
        is_places = step is not None and step.name == "places"
        if is_places:
            value = self.program.value(number)
            array = Array(value.dtype, value.shape, (1,))
        else:
            array = self.arrays[number]
        strides = [0] * len(self.space)
        for place, size, stride in zip(places, array.shape, array.strides, strict=True):
            if place >= 0 and size != 1:
                strides[place] += stride
        key = (-1 - number if is_written else number, tuple(strides))
        found = self.operands.get(key)
        if found is None:
            name = f"{'q' if is_written else 'p'}{len(self.operands)}"
            found = self.operands[key] = Operand(
                number, name, array.dtype, tuple(strides), array.is_aligned, is_written, is_places
            )
            how = STORED[array.dtype] if is_written else f"const {STORED[array.dtype]}"
            if not is_places:
                apart = "" if self.in_place else "__restrict__ "
                self.arguments.append(Argument(f"{how}* {apart}{name}", number))
            reach = sum((s - 1) * abs(t) for s, t in zip(self.space, strides, strict=True))
            self.is_wide |= reach > _LARGEST_INT32 or min(strides, default=0) < 0
        return found

    def number(self, name: str, value: int) -> str:
        """An argument that is a number; the same name is given once."""
        argument = Argument(f"const I {name}", number=value)
        if argument not in self.arguments:
            self.arguments.append(argument)
        self.is_wide |= abs(value) > _LARGEST_INT32
        return name

    # --- text -----------------------------------------------------------------------------------

    def add(self, *lines: str) -> None:
        """Lines at the present depth."""
        self.lines += ["  " * self.depth + line for line in lines]

    def open(self, line: str) -> None:
        """A line that opens a block."""
        self.add(f"{line} {{")
        self.depth += 1

    def close(self) -> None:
        """End of a block."""
        self.depth -= 1
        self.add("}")

    def offsets(self, axes: Axes, index: str, prefix: str, lanes: int) -> dict[Operand, str]:
        """Lines that take an index apart; the text of each operand's place.

        The index counts groups of so many lanes along the last axis.
        """
        rank = len(axes.sizes)
        coordinates = [f"{prefix}{axis}" for axis in range(rank)]
        rest = index
        for axis in range(rank - 1, 0, -1):
            size = axes.sizes[axis] // (lanes if axis == rank - 1 else 1)
            bound = self.number(f"{prefix}n{axis}", size)
            self.add(f"const I {prefix}r{axis} = {rest};")
            self.add(f"const I {prefix}d{axis} = {prefix}r{axis} / {bound};")
            if any(strides[axis] for strides in axes.strides.values()):
                rest = f"{prefix}r{axis} - {prefix}d{axis} * {bound}"
                self.add(f"const I {coordinates[axis]} = {rest};")
            rest = f"{prefix}d{axis}"
        if any(strides[0] for strides in axes.strides.values()):
            self.add(f"const I {coordinates[0]} = {rest};")
        found = {}
        for operand, strides in axes.strides.items():
            terms = []
            for axis, stride in enumerate(strides):
                if not stride:
                    continue
                scale = lanes if axis == rank - 1 else 1
                if stride == 1 and scale == 1:
                    terms.append(coordinates[axis])
                elif stride == 1:
                    terms.append(f"{coordinates[axis]} * {scale}")
                else:
                    step = self.number(f"{operand.name}{prefix}s{axis}", stride * scale)
                    terms.append(f"{coordinates[axis]} * {step}")
            found[operand] = " + ".join(terms) or "0"
        return found

    def finished(self, name: str, block: tuple[int, int], grid: tuple[int, int]) -> Launch:
        """The kernel, ready to be called."""
        index = "long long" if self.is_wide else "unsigned int"
        threads = block[0] * block[1]
        parameters = ",\n    ".join(argument.declaration for argument in self.arguments)
        text = "\n".join(
            [
                f"typedef {index} I;",
                f'extern "C" __global__ void __launch_bounds__({threads}) {name}(',
                f"    {parameters}) {{",
                *self.lines,
                "}",
                "",
            ]
        )
        return Launch(text, name, grid, block, tuple(self.arguments), index)


@dataclass(eq=False)
class Statements:
    """The statements for one element of a kernel, each value once.

    Args:
        kernel: in which they stand.
        read: what an operand is called, as a number.
        inside: what a reduction is called there, None where it is read from memory.
        write: writes a statement: its step, places and text; gives what the value is called.
    """

    kernel: Kernel
    read: Callable[[Operand], str]
    inside: Callable[[int, Places], str | None]
    write: Callable[[Step, Places, str], str]
    known: dict[tuple[int, Places], str] = field(default_factory=dict)

    def value(self, number: int, places: Places) -> str:
        """What a value is called, after the statements that it needs."""
        waiting = [(number, places)]
        while waiting:  # deeper than Python's stack
            item = waiting[-1]
            if item in self.known:
                waiting.pop()
                continue
            missing = [need for need in self._needs(*item) if need not in self.known]
            if missing:
                waiting += missing
                continue
            self.known[item] = self._written(*item)
            waiting.pop()
        return self.known[number, places]

    def _needs(self, number: int, places: Places) -> list[tuple[int, Places]]:
        program = self.kernel.program
        step = program.step(number)
        if step is None or is_reduction(step):
            return []
        return [
            (argument, argument_places(program, step, index, places))
            for index, argument in enumerate(step.arguments)
        ]

    def _written(self, number: int, places: Places) -> str:
        step = self.kernel.program.step(number)
        if step is not None and step.name == "literal":
            return literal(step.text, step.value.dtype)
        if step is None or step.name == "places" or is_reduction(step):
            is_made = is_reduction(step)
            there = self.inside(number, places) if is_made else None
            return there or self.read(self.kernel.operand(number, places))
        arguments = [self.known[need] for need in self._needs(number, places)]
        if step.name == "view":
            return arguments[0]
        return self.write(step, places, expression(step, *arguments))


def wanted_lanes(operands: Sequence[Operand]) -> int:
    """Elements for 16 bytes of the widest operand."""
    sizes = [operand.itemsize for operand in operands if not operand.is_places]
    return max(1, _WIDE // max(sizes, default=_WIDE))


def place_as_number(operand: Operand, offset: str, strides: Sequence[int]) -> str:
    """The place of an element of a group of lanes, number `k`, as a number."""
    lane = " + k" if strides[-1] else ""
    return f"({VARIABLES[operand.dtype]})({offset}{lane})"


def variable(dtype: str) -> str:
    """The type of a number of this dtype in a variable."""
    return VARIABLES[dtype]


def name_of(kind: str, program: Program, numbers: Sequence[int]) -> str:
    """A name for a kernel that computes these values, after the steps behind them."""
    names: list[str] = []
    waiting, seen = list(numbers), set()
    while waiting:
        number = waiting.pop()
        step = program.step(number)
        if step is None or number in seen:
            continue
        seen.add(number)
        waiting += step.arguments
        if step.name not in ("literal", "view"):
            names.append(step.name)
    return "_".join([kind, *reversed(names[:5])])
