"""A program, and how its inputs lie in memory, as calls of kernels in CUDA C."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tfsession.devices.program import Program, Value
from tfsession.kernels.cuda.body import Array, Kernel, Launch, contiguous
from tfsession.kernels.cuda.emit_columns import emit_columns
from tfsession.kernels.cuda.emit_elementwise import emit_elementwise
from tfsession.kernels.cuda.emit_rows import emit_rows
from tfsession.kernels.cuda.expressions import DEVICE, PRELUDE
from tfsession.kernels.cuda.schedule import Schedule, in_pieces

__all__ = ["OPTIONS", "Calls", "calls", "module"]

# Each operation is rounded by itself, as it is without groups.
OPTIONS = ("--std=c++17", "--fmad=false")
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
    launches = [
        _EMITTERS[part.space.kind](Kernel(program, arrays, part.space.sizes), part)
        for part in schedule.parts
        if 0 not in part.space.sizes
    ]
    return Calls(tuple(launches), buffers, program.results)


def module(launches: Sequence[Launch]) -> tuple[str, list[str]]:
    """The text of all that these calls need, and for each the name of its kernel there."""
    parts = [DEVICE, PRELUDE]
    known: dict[str, str] = {}
    taken: set[str] = set()
    for launch in launches:
        if launch.source in known:
            continue
        name = launch.name
        while name in taken:
            name = f"{launch.name}_{len(taken)}"
        taken.add(name)
        known[launch.source] = name
        text = launch.source.replace(f" {launch.name}(", f" {name}(", 1)
        parts.append(f"namespace of_{name} {{\n{text}}}\n")
    return "\n".join(parts), [known[launch.source] for launch in launches]
