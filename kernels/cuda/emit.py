"""A program, and how its inputs lie in memory, as calls of kernels in CUDA C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfsession.devices.program import Program, Value
from tfsession.kernels.cuda.body import Array, Launch, contiguous
from tfsession.kernels.cuda.emit_columns import emit_columns
from tfsession.kernels.cuda.emit_elementwise import emit_elementwise
from tfsession.kernels.cuda.emit_rows import emit_rows
from tfsession.kernels.cuda.schedule import Schedule, in_pieces

__all__ = ["Calls", "calls"]

_EMITTERS = {"elementwise": emit_elementwise, "rows": emit_rows, "columns": emit_columns}


@dataclass(frozen=True)
class Calls:
    """Kernels in their order, the memory that they want by value, and which of it are results.

    Values are numbered; the first are what is given.
    """

    launches: tuple[Launch, ...]
    buffers: dict[int, Value]
    results: tuple[int, ...]


def calls(program: Program, inputs: Sequence[Array]) -> Calls:
    """What computes a program for inputs that lie so."""
    schedule = Schedule(in_pieces(program))
    program = schedule.program
    arrays = dict(enumerate(inputs))
    buffers = {}
    for part in schedule.parts:
        for number in part.stores:
            value = buffers[number] = program.value(number)
            arrays[number] = Array(value.dtype, value.shape, contiguous(value.shape))
    launches = [_EMITTERS[part.space.kind](program, arrays, part) for part in schedule.parts]
    return Calls(tuple(launches), buffers, program.results)
