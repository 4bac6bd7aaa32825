"""CUDA C of one element-wise formula for rows of arrays: a thread has one number of a row.

A row that comes several times is updated as often, in the order in which it comes, by one thread.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from tfsession.devices.program import Program, Sizes, Step
from tfsession.devices.traced import Untraceable
from tfsession.kernels.cuda.body import (
    Argument,
    Array,
    Kernel,
    Launch,
    Operand,
    Statements,
    name_of,
    variable,
)
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.schedule import Places, Schedule, in_pieces, own_places

__all__ = ["SIZE", "Rows", "emit_update_rows"]

# How many elements the arrays of a program have that is written for rows.
SIZE = 4
_THREADS = 256
_LARGEST = (1 << 31) - 1


class Rows(NamedTuple):
    """So many rows of a shape for those of arrays that have `count`.

    Attributes:
        index: the dtype of indices that differ from each other; without it there are ordered keys.
    """

    size: int
    shape: Sizes
    count: int
    index: str = ""


def emit_update_rows(program: Program, states: int, rows: Rows) -> Launch:
    """The kernel that computes a program in place for rows; strays do nothing.

    Args:
        program: of `states` vectors of `SIZE` elements, which its results replace, of one more that
            has a row for each index, and of numbers.
        states: how many arrays change.
        rows: how many there are.

    Returns:
        A call of the program's inputs, and behind them of indices, and of the keys of `order`.

    Raises:
        Untraceable: elements do not stand by themselves.
    """
    schedule = Schedule(in_pieces(program))
    if [part.space.kind for part in schedule.parts] != ["elementwise"]:
        raise Untraceable("not element by element")
    return _Rows(schedule.program, states, rows).launch()


class _Rows:
    """Writes one kernel."""

    def __init__(self, program: Program, states: int, rows: Rows) -> None:
        self._program = program
        self._rows = rows
        arrays = {
            number: Array(value.dtype, value.shape, (1,) if value.shape else ())
            for number, value in enumerate(program.inputs)
        }
        self._kernel = Kernel(program, arrays, (SIZE,), in_place=True)
        self._states = states
        changed = enumerate(program.results[:states])
        self._changed = {state: number for state, number in changed if number != state}

    def launch(self) -> Launch:
        """The kernel, ready to be called."""
        kernel, rows, inputs = self._kernel, self._rows, self._program.inputs
        width = prod(rows.shape)
        for number, value in enumerate(inputs):
            is_read_only = number >= self._states
            kind = f"const {STORED[value.dtype]}" if is_read_only else STORED[value.dtype]
            kernel.arguments.append(Argument(f"{kind}* x{number}", number))
        if rows.index:
            which = Argument(f"const {STORED[rows.index]}* ids", len(inputs))
        else:
            which = Argument("const unsigned long long* keys", len(inputs) + 1)
        kernel.arguments.append(which)
        for name, size in (("n", rows.size), ("width", width), ("count", rows.count)):
            kernel.number(name, size)
        kernel.is_wide |= max(rows.size, rows.count) * width > _LARGEST
        kernel.add(f"const I i = (I)blockIdx.x * {_THREADS} + threadIdx.x;")
        kernel.add("const I first = i / width, column = i % width;")
        kernel.add("if (first >= n) return;")
        for number, value in enumerate(inputs):
            if not value.shape:
                kernel.add(f"const {variable(value.dtype)} v{number} = loaded(x{number}[0]);")
        if rows.index:
            self._write_distinct()
        else:
            self._write_ordered()
        blocks = max(1, -(-rows.size * width // _THREADS))
        name = name_of("rows", self._program, list(self._changed.values()))
        return kernel.finished(name, (_THREADS, 1), (blocks, 1))

    def _write_distinct(self) -> None:
        kernel = self._kernel
        kernel.add("const long long row = (long long)ids[first];")
        kernel.add("if (row < 0 || row >= count) return;")
        self._write_loads()
        self._write_turn("first")
        self._write_stores()

    def _write_ordered(self) -> None:
        """Only the first key of an index goes on: with all that have it."""
        kernel = self._kernel
        kernel.add("unsigned long long key = keys[first];")
        kernel.add("const unsigned int row = (unsigned int)(key >> 32);")
        kernel.add("if (row >= (unsigned int)count) return;")
        kernel.add("if (first && (unsigned int)(keys[first - 1] >> 32) == row) return;")
        self._write_loads()
        kernel.open("for (I at = first;;)")
        self._write_turn("(I)(unsigned int)key")
        kernel.add("if (++at == n) break;")
        kernel.add("key = keys[at];")
        kernel.add("if ((unsigned int)(key >> 32) != row) break;")
        kernel.close()
        self._write_stores()

    def _write_loads(self) -> None:
        kernel = self._kernel
        kernel.add("const I place = (I)row * width + column;")
        for state in range(self._states):
            kind = variable(self._program.inputs[state].dtype)
            kernel.add(f"{kind} v{state} = loaded(x{state}[place]);")

    def _write_stores(self) -> None:
        for state in self._changed:
            self._kernel.add(f"store(x{state}[place], v{state});")

    def _write_turn(self, position: str) -> None:
        """The formula for the row at a position."""
        kernel, last = self._kernel, self._states
        kind = variable(self._program.inputs[last].dtype)
        kernel.add(f"const {kind} v{last} = loaded(x{last}[{position} * width + column]);")
        for state in range(self._states):
            kind = variable(self._program.inputs[state].dtype)
            kernel.add(f"const {kind} s{state} = v{state};")
        given = list(kernel.arguments)

        def read(operand: Operand) -> str:
            return f"{'s' if operand.number < self._states else 'v'}{operand.number}"

        def write(step: Step, places: Places, text: str) -> str:
            name = f"t{len(statements.known)}"
            kernel.add(f"const {variable(step.value.dtype)} {name} = {text};")
            return name

        statements = Statements(kernel, read, lambda number, places: None, write)
        made = {
            state: statements.value(number, own_places(self._program.value(number).shape))
            for state, number in self._changed.items()
        }
        kernel.arguments[:] = given  # memory is not read where a statement stands
        for state, value in made.items():
            kernel.add(f"v{state} = {value};")
