"""CUDA C of one element-wise formula for many arrays of any sizes: a block has a part of one.

As fused steps of optimizers elsewhere do it: where arrays lie and how large they are stands in the
arguments of the kernel, so that nothing has to be brought to the device for it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tfsession.devices.program import Program
from tfsession.devices.traced import Untraceable
from tfsession.kernels.cuda.body import Argument, Array, Axes, Kernel, Launch, name_of
from tfsession.kernels.cuda.emit_elementwise import THREADS, Elements, find_operands, width
from tfsession.kernels.cuda.expressions import STORED
from tfsession.kernels.cuda.schedule import Part, Schedule, Space, in_pieces

__all__ = ["SIZE", "emit_together", "most_rows"]

# How many elements the arrays of a program have that is written for many.
SIZE = 4
# Bytes that the arguments of a kernel may take.
_ARGUMENT_BYTES = 4096 - 64


def most_rows(given: int, shared: int) -> int:
    """For how many rows of so many inputs a kernel may be called, which share some of those."""
    return max(1, (_ARGUMENT_BYTES - 8 * shared) // (8 * (given - shared) + 16))


def emit_together(
    program: Program, sizes: Sequence[int], shared: Sequence[int], is_aligned: bool
) -> Launch:
    """The kernel that computes a program in place for each of some rows of inputs.

    Args:
        program: of vectors of `SIZE` elements and of numbers; its results take the place of its
            first inputs.
        sizes: how many elements the vectors of each row have, no row none.
        shared: the inputs that all rows have in common, of which only the first row's is taken.
        is_aligned: whether 16 bytes can be read at once.

    Returns:
        A call whose arguments are numbered by rows: input `i` of row `r` is number
        `r * len(program.inputs) + i`.

    Raises:
        Untraceable: elements do not stand by themselves.
    """
    schedule = Schedule(in_pieces(program))
    if [part.space.kind for part in schedule.parts] != ["elementwise"]:
        raise Untraceable("not element by element")
    program = schedule.program
    arrays = {
        number: Array(value.dtype, value.shape, (1,) if value.shape else (), is_aligned)
        for number, value in enumerate(program.inputs)
    }
    stores = list(dict.fromkeys(program.results))
    for number in stores:
        arrays[number] = Array(program.value(number).dtype, (SIZE,), (1,), is_aligned)
    part = Part(Space("elementwise", (SIZE,)), 0, stores=stores)
    kernel = Kernel(program, arrays, (SIZE,), in_place=True)
    find_operands(kernel, part)
    operands = list(kernel.operands.values())
    axes = Axes.merged((SIZE,), (0,), operands)
    lanes, turns = width(axes, operands, sum(sizes))
    kernel.arguments.clear()
    _add_rows(kernel, sizes, shared, lanes, turns)
    Elements(kernel, part, axes, lanes, turns).write_row()
    blocks = sum(_blocks(size, lanes, turns) for size in sizes)
    name = name_of("together", program, stores)
    return kernel.finished(name, (THREADS, 1), (blocks, 1))


def _blocks(size: int, lanes: int, turns: int) -> int:
    return max(1, -(-(size // lanes) // (THREADS * turns)))


def _add_rows(
    kernel: Kernel, sizes: Sequence[int], shared: Sequence[int], lanes: int, turns: int
) -> None:
    """What finds the row of a block, and makes its arrays the operands."""
    inputs = kernel.program.inputs
    operands = list(kernel.operands.values())
    results = list(dict.fromkeys(kernel.program.results))
    taken = sorted({results.index(o.number) if o.is_written else o.number for o in operands})
    for number in taken:
        kind = f"{STORED[inputs[number].dtype]}*"
        if number in shared:
            kernel.arguments.append(Argument(f"{kind} x{number}", number))
        else:
            kernel.add(f"{kind} x{number};")
    kernel.add("I size, begin;", "int row = 0;")
    begin = 0
    for row, size in enumerate(sizes):
        kernel.number(f"n{row}", size)
        if row:
            kernel.number(f"b{row}", begin)
            kernel.add(f"row += blockIdx.x >= b{row};")
        begin += _blocks(size, lanes, turns)
    kernel.open("switch (row)")
    for row in range(len(sizes)):
        moves = [f"size = n{row};", f"begin = {f'b{row}' if row else '0'};"]
        for number in taken:
            if number not in shared:
                kind = f"{STORED[inputs[number].dtype]}*"
                place = row * len(inputs) + number
                kernel.arguments.append(Argument(f"{kind} x{number}_{row}", place))
                moves.append(f"x{number} = x{number}_{row};")
        label = f"case {row}" if row < len(sizes) - 1 else "default"
        kernel.add(f"{label}: {' '.join(moves)} break;")
    kernel.close()
    for operand in operands:
        number = results.index(operand.number) if operand.is_written else operand.number
        kernel.add(f"auto* const {operand.name} = x{number};")
