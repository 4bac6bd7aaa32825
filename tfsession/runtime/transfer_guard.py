"""The transfer guard: what becomes of copies between devices that a step makes on its own.

`tf.transfer_guard` is named after JAX's function of that name, and speaks of transfers as it does.
A step is looked at before it begins, so that one that is refused has changed nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NoReturn

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.exports import export
from tfsession.core.shape import debug_string
from tfsession.devices.transfer import Memory
from tfsession.runtime.moves import Move, size_text, unit_bytes
from tfsession.runtime.partition import Transfer

logger = logging.getLogger("tfsession")

LEVELS = ("allow", "log", "disallow")


class Guard:
    """One level in force: for a block of a thread, or for all steps of a session."""

    __slots__ = ("_told", "level")

    def __init__(self, level: str) -> None:
        self.level = level
        self._told: set[Transfer] = set()

    def check(self, moves: Sequence[Move]) -> None:
        """Log implicit moves, each once, or raise InvalidArgumentError for them."""
        if self.level == "disallow":
            _refuse(moves)
        if self.level == "log":
            for move in moves:
                if move.transfer not in self._told:
                    self._told.add(move.transfer)
                    logger.warning("Implicit %s", _described(move))


class _Thread(threading.local):
    guard: Guard | None = None


_here = _Thread()


@export("transfer_guard")
def transfer_guard(level: str) -> AbstractContextManager[None]:
    """Say what becomes of implicit transfers of the steps that this thread runs in the block.

    A transfer is implicit when a step makes it on its own: a tensor is made on one device and read
    on another, or in host memory. What the caller feeds and fetches is explicit, and always let
    through. CPU devices share the host's memory: nothing is copied between them.

    Args:
        level: "allow"; "log", which logs each transfer as a warning, once in the block; or
            "disallow", under which a step that would make one raises InvalidArgumentError before
            anything of it runs. The innermost block counts, and any block more than the session's
            `ConfigProto.device_options.transfer_guard`.

    Raises:
        ValueError: there is no such level.
    """
    if level not in LEVELS:
        raise ValueError(f"`level` must be one of {', '.join(LEVELS)}, but is {level!r}")
    return _in_force(level)


def session_guard(level: str) -> Guard | None:
    """The guard of a session whose configuration asks for a level; None where it lets all through.

    Raises:
        InvalidArgumentError: there is no such level.
    """
    if level in ("", "allow"):
        return None
    if level not in LEVELS:
        raise InvalidArgumentError(
            None,
            None,
            f"device_options.transfer_guard must be one of {', '.join(LEVELS)}, but is {level!r}",
        )
    return Guard(level)


@contextmanager
def _in_force(level: str) -> Iterator[None]:
    before, _here.guard = _here.guard, Guard(level)
    try:
        yield
    finally:
        _here.guard = before


class Implicit:
    """The implicit moves of a plan, which has some, and the guard of its session."""

    __slots__ = ("_guard", "moves")

    def __init__(self, moves: Sequence[Move], guard: Guard | None) -> None:
        self.moves = moves
        self._guard = guard

    def check(self) -> None:
        """Do what the guard in force says, before a step begins.

        Raises:
            InvalidArgumentError: it disallows them.
        """
        guard = _here.guard or self._guard
        if guard is not None:
            guard.check(self.moves)


def memory_name(memory: Memory) -> str:
    """The short name of a device whose memory it is, or "host"."""
    return "host" if memory is None else f"{memory.device_type}:{memory.index}"


def _described(move: Move) -> str:
    transfer, reader = move.transfer, move.reader
    tensor = transfer.tensor
    ends = f"{memory_name(transfer.source)} to {memory_name(transfer.destination)}"
    memories = (transfer.source, transfer.destination)
    way = "-to-".join("host" if memory is None else "device" for memory in memories)
    return (
        f"{way} transfer: '{tensor.name}' ({tensor.dtype.base_dtype.name}"
        f"{debug_string(tensor._shape)}, {size_text(*unit_bytes(tensor))}) goes from {ends}, "
        f"made by {{{{node {tensor.op.name}}}}} ({tensor.op.type}) and read by "
        f"{{{{node {reader.name}}}}} ({reader.type})"
    )


def _refuse(moves: Sequence[Move]) -> NoReturn:
    first, rest = moves[0], len(moves) - 1
    more = f" The step would make {rest} more." if rest else ""
    op = first.reader
    raise InvalidArgumentError(
        op.node_def,
        op,
        f"Disallowed {_described(first)}.{more} Put both operations on one device with tf.device, "
        "or let the copy be made: `with tf.transfer_guard('allow'):` around the run. "
        "Session.explain_placement(fetches) lists all transfers of a step.",
    )
