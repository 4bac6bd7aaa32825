"""CUDA C of reductions along axes that do not come last: a thread goes down a column.

Threads beside each other have columns beside each other; those of one column are joined one after
another, so that sums are in a fixed order.
"""

from __future__ import annotations

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
)
from tfsession.kernels.cuda.expressions import combined, neutral
from tfsession.kernels.cuda.schedule import (
    COLUMNS,
    Part,
    Places,
    own_places,
    result_places,
    stored_places,
)

_HIGH = 8


def emit_columns(kernel: Kernel, part: Part) -> Launch:
    """The kernel of a part whose reductions are along columns."""
    return _Columns(kernel, part).written()


class _Columns:
    """Writes one kernel."""

    def __init__(self, kernel: Kernel, part: Part) -> None:
        self.kernel = kernel
        self.part = part
        self.program = kernel.program
        self.is_found = False
        self._all_values(Statements(kernel, lambda o: "x", self._inside, lambda *_: "x"))
        for number in part.stores:
            kernel.operand(number, self._places_of(number), is_written=True)
        operands = list(kernel.operands.values())
        self.stored = {o.number: o for o in operands if o.is_written}
        self.kept = Axes.merged(kernel.space, part.space.kept, operands)
        self.reduced = Axes.merged(kernel.space, part.space.reduced, operands)
        self.offsets: dict[Operand, str] = {}

    def _all_values(self, statements: Statements) -> None:
        for number in self.part.reductions:
            statements.value(*self._source(number))
        for number in self.part.stores:
            if number not in self.part.reductions:
                statements.value(number, self._places_of(number))

    def _source(self, number: int) -> tuple[int, Places]:
        source = self._step(number).arguments[0]
        return source, own_places(self.program.value(source).shape)

    def _step(self, number: int) -> Step:
        step = self.program.step(number)
        assert step is not None
        return step

    def _inside(self, number: int, places: Places) -> str | None:
        is_own = number in self.part.reductions and not self.part.space.pieces
        return f"a{number}" if is_own and places == result_places(self.program, number) else None

    def _places_of(self, number: int) -> Places:
        if number in self.part.reductions:
            places = result_places(self.program, number)
            return (-1, *places) if self.part.space.pieces else places
        found = stored_places(self.part.space, self.program.value(number).shape)
        assert found is not None
        return found

    def _read(self, operand: Operand) -> str:
        if operand.is_places:
            return place_as_number(operand, self.offsets[operand], (0,))
        return f"loaded({operand.name}[{self.offsets[operand]}])"

    def _write(self, step: Step, places: Places, text: str) -> str:
        name = f"t{len(self.statements.known)}"
        self.kernel.add(f"const {variable(step.value.dtype)} {name} = {text};")
        return name

    def written(self) -> Launch:
        """The kernel."""
        kernel, pieces = self.kernel, self.part.space.pieces
        columns, rows = self.kept.count, self.reduced.count
        kernel.number("columns", columns)
        kernel.number("m", rows)
        kernel.add(f"const I column = (I)blockIdx.x * {COLUMNS} + threadIdx.x;")
        begin, end = "0", "m"
        if pieces:
            kernel.number("piece", -(-rows // pieces))
            kernel.add("const I begin = (I)blockIdx.y * piece;")
            kernel.add("const I end = begin + piece < m ? begin + piece : m;")
            begin, end = "begin", "end"
        for number in self.part.reductions:
            step = self._step(number)
            kernel.add(f"{variable(step.loop)} a{number} = {neutral(step.name, step.loop)};")
        kernel.open("if (column < columns)")
        above = kernel.offsets(self.kept, "column", "k", 1)
        kernel.add("#pragma unroll 4")
        kernel.open(f"for (I b = {begin} + threadIdx.y; b < {end}; b += {_HIGH})")
        below = kernel.offsets(self.reduced, "b", "b", 1)
        self.offsets = {operand: f"{above[operand]} + {below[operand]}" for operand in above}
        self.statements = Statements(kernel, self._read, self._inside, self._write)
        for number in self.part.reductions:
            value = self.statements.value(*self._source(number))
            kernel.add(f"a{number} = {self._joined(number, value)};")
        kernel.close()
        kernel.close()
        self._join_threads()
        kernel.open("if (threadIdx.y == 0 && column < columns)")
        self._store_all()
        kernel.close()
        grid = (-(-columns // COLUMNS), max(1, pieces))
        name = name_of("columns", self.program, [*self.part.stores, *self.part.reductions])
        return kernel.finished(name, (COLUMNS, _HIGH), grid)

    def _joined(self, number: int, other: str) -> str:
        step = self._step(number)
        text = combined(step.name, step.loop, f"a{number}", other)
        return f"({variable(step.loop)})({text})"

    def _join_threads(self) -> None:
        kernel = self.kernel
        for number in self.part.reductions:
            kind = variable(self._step(number).loop)
            kernel.add(f"__shared__ {kind} s{number}[{_HIGH}][{COLUMNS}];")
            kernel.add(f"s{number}[threadIdx.y][threadIdx.x] = a{number};")
        kernel.add("__syncthreads();")
        kernel.open("if (threadIdx.y == 0)")
        kernel.open(f"for (int y = 1; y < {_HIGH}; ++y)")
        for number in self.part.reductions:
            kernel.add(f"a{number} = {self._joined(number, f's{number}[y][threadIdx.x]')};")
        kernel.close()
        kernel.close()

    def _store_all(self) -> None:
        kernel = self.kernel
        self.offsets = kernel.offsets(self.kept, "column", "k", 1)
        self.statements = Statements(kernel, self._read, self._inside, self._write)
        for number in self.part.stores:
            if number in self.part.reductions:
                value = f"a{number}"
            else:
                value = self.statements.value(number, self._places_of(number))
            operand = self.stored[number]
            place = self.offsets[operand]
            if self.part.space.pieces:
                place = f"({place}) + (I)blockIdx.y * columns"
            kernel.add(f"store({operand.name}[{place}], {value});")
