"""CUDA C of element-wise groups: 16 bytes at once, several of them under way in each thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tfsession.devices.program import Step
from tfsession.kernels.cuda.body import (
    Axes,
    Kernel,
    Launch,
    Operand,
    Statements,
    name_of,
    place_as_number,
    variable,
    wanted_lanes,
)
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.schedule import Part, Places, own_places

THREADS = 256
_MOST_UNDER_WAY = 4
# Bytes that a thread may have under way: they stand in registers.
_BYTES_UNDER_WAY = 256
# So many blocks and more keep a large card busy; where there are less, each thread does less.
_MANY_BLOCKS = 512


def emit_elementwise(kernel: Kernel, part: Part) -> Launch:
    """The kernel that writes the stores of a part."""
    find_operands(kernel, part)
    operands = list(kernel.operands.values())
    axes = Axes.merged(kernel.space, range(len(kernel.space)), operands)
    lanes, turns = width(axes, operands, axes.count)
    groups, tail = divmod(axes.count, lanes)
    Elements(kernel, part, axes, lanes, turns).write(groups, tail)
    blocks = max(1, -(-groups // (THREADS * turns)))
    name = name_of("elementwise", kernel.program, part.stores)
    return kernel.finished(name, (THREADS, 1), (blocks, 1))


def width(axes: Axes, operands: Sequence[Operand], count: int) -> tuple[int, int]:
    """How many elements a thread reads at once, and how often, where there are so many."""
    moving = [o for o in operands if any(axes.strides[o]) and not o.is_places]
    element_bytes = max(1, sum(operand.itemsize for operand in moving))
    lanes = axes.lanes(wanted_lanes(operands))
    while lanes > 1 and element_bytes * lanes > _BYTES_UNDER_WAY:
        lanes //= 2
    turns = max(1, min(_MOST_UNDER_WAY, _BYTES_UNDER_WAY // (element_bytes * lanes)))
    while turns > 1 and count // lanes < THREADS * turns * _MANY_BLOCKS:
        turns //= 2
    return lanes, turns


def find_operands(kernel: Kernel, part: Part) -> None:
    """All that is read and written, before a line is written: it decides how wide lanes are."""

    def nothing(step: Step, places: Places, text: str) -> str:
        return "x"

    statements = Statements(kernel, lambda operand: "x", lambda number, places: None, nothing)
    for number in part.stores:
        statements.value(number, own_places(kernel.program.value(number).shape))
    for number in part.stores:
        kernel.operand(number, own_places(kernel.program.value(number).shape), is_written=True)


class Elements:
    """Writes one kernel: each thread goes through `turns` groups of `lanes` elements."""

    def __init__(self, kernel: Kernel, part: Part, axes: Axes, lanes: int, turns: int) -> None:
        self.kernel = kernel
        self.part = part
        self.axes = axes
        self.lanes = lanes
        self.turns = turns
        operands = kernel.operands.values()
        self.read = [operand for operand in operands if not operand.is_written]
        self.written = [operand for operand in operands if operand.is_written]

    def write(self, groups: int, tail: int) -> None:
        """All of it; `tail` elements are left where all groups are full."""
        kernel = self.kernel
        kernel.number("n", groups)
        self._write_groups("(I)blockIdx.x")
        if tail:
            kernel.number("tail", tail)
            self._write_tail("blockIdx.x == gridDim.x - 1")

    def write_row(self) -> None:
        """For blocks from `begin` on, which have `size` elements."""
        kernel, lanes = self.kernel, self.lanes
        kernel.add(f"const I n = size / {lanes};", f"const I tail = size % {lanes};")
        kernel.add("const I block = (I)blockIdx.x - begin;")
        self._write_groups("block")
        if lanes > 1:
            self._write_tail(f"block == (n ? (n - 1) / {THREADS * self.turns} : 0)")

    def _write_groups(self, block: str) -> None:
        kernel, turns = self.kernel, self.turns
        kernel.add(f"const I first = {block} * {THREADS * turns} + threadIdx.x;")
        for operand in self.read:
            if operand.is_places:
                continue
            if not any(self.axes.strides[operand]):
                kernel.add(
                    f"const {variable(operand.dtype)} {operand.name}_1 = loaded({operand.name}[0]);"
                )
            else:
                held = STORED[operand.dtype]
                kernel.add(f"pack<{held}, {self._width(operand)}> {operand.name}_in[{turns}];")
        for write in (self._load, self._compute):
            kernel.add("#pragma unroll")
            kernel.open(f"for (int u = 0; u < {turns}; ++u)")
            kernel.add(f"const I i = first + (I)u * {THREADS};")
            kernel.open("if (i < n)")
            write(kernel.offsets(self.axes, "i", "c", self.lanes))
            kernel.close()
            kernel.close()

    def _write_tail(self, is_last: str) -> None:
        kernel = self.kernel
        kernel.open(f"if ({is_last} && threadIdx.x < tail)")
        kernel.add(f"const I i = n * {self.lanes} + threadIdx.x;")
        self._compute_one(kernel.offsets(self.axes, "i", "c", 1))
        kernel.close()

    def _width(self, operand: Operand) -> int:
        return self.lanes if self.axes.strides[operand][-1] else 1

    def _load(self, offsets: Mapping[Operand, str]) -> None:
        for operand in self.read:
            if any(self.axes.strides[operand]) and not operand.is_places:
                held = f"pack<{STORED[operand.dtype]}, {self._width(operand)}>"
                place = f"{operand.name} + ({offsets[operand]})"
                self.kernel.add(f"{operand.name}_in[u] = *(const {held}*)({place});")

    def _compute(self, offsets: Mapping[Operand, str]) -> None:
        kernel, lanes = self.kernel, self.lanes
        for operand in self.written:
            kernel.add(f"pack<{STORED[operand.dtype]}, {lanes}> {operand.name}_out;")
        kernel.add("#pragma unroll")
        kernel.open(f"for (int k = 0; k < {lanes}; ++k)")

        def read(operand: Operand) -> str:
            if operand.is_places:
                return place_as_number(operand, offsets[operand], self.axes.strides[operand])
            if not any(self.axes.strides[operand]):
                return f"{operand.name}_1"
            place = "k" if self._width(operand) == lanes else "0"
            return f"loaded({operand.name}_in[u].at[{place}])"

        self._statements(read, lambda operand: f"{operand.name}_out.at[k]")
        kernel.close()
        for operand in self.written:
            held = f"pack<{STORED[operand.dtype]}, {lanes}>"
            place = f"{operand.name} + ({offsets[operand]})"
            kernel.add(f"*({held}*)({place}) = {operand.name}_out;")

    def _compute_one(self, offsets: Mapping[Operand, str]) -> None:
        def read(operand: Operand) -> str:
            if operand.is_places:
                return place_as_number(operand, offsets[operand], (0,))
            if not any(self.axes.strides[operand]):
                return f"{operand.name}_1"
            return f"loaded({operand.name}[{offsets[operand]}])"

        self._statements(read, lambda operand: f"{operand.name}[{offsets[operand]}]")

    def _statements(
        self, read: Callable[[Operand], str], written: Callable[[Operand], str]
    ) -> None:
        kernel = self.kernel

        def write(step: Step, places: Places, text: str) -> str:
            name = f"t{len(statements.known)}"
            kernel.add(f"const {variable(step.value.dtype)} {name} = {text};")
            return name

        statements = Statements(kernel, read, lambda number, places: None, write)
        stores = zip(self.part.stores, self.written, strict=True)
        for number, operand in stores:
            places = own_places(kernel.program.value(number).shape)
            value = statements.value(number, places)
            kernel.add(f"store({written(operand)}, {value});")
