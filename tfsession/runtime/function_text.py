"""The text of a function as it grows, line by line, and the function that it becomes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from tfsession.devices.memory import OPERATIONS
from tfsession.devices.threads import this_thread
from tfsession.runtime.control import CancellationManager, stop_closed, stop_late
from tfsession.runtime.errors import Ops
from tfsession.runtime.segments import Function

# Ufuncs that NumPy would not have called with `out` by its position.
_OUT_BY_NAME = frozenset({np.maximum, np.minimum})


class Source:
    """The text of a segment's function as it grows, a line for each operation that computes.

    The function lets so many `threads` compute for it, 0 for as many as there are cores.
    """

    def __init__(self, inputs: Sequence[str], threads: int = 0) -> None:
        self.lines = [""]
        self.ops: list[Ops] = [None]
        self.values: dict[str, Any] = {}
        self._inputs = inputs
        self._bound: dict[int, str] = {}
        self._indent = " "
        self._threads = threads
        if threads:
            self.values["here"] = this_thread
            self.add(f"before, here.limit = here.limit, {threads}")
            self.add("try:")
            self._indent += " "

    def bind(self, prefix: str, value: Any) -> str:
        """A name for a value that the text uses; the same value has one name."""
        name = self._bound.get(id(value))
        if name is None:
            name = self._bound[id(value)] = f"{prefix}{len(self.values)}"
            self.values[name] = value
        return name

    def call(
        self,
        function: Function,
        arguments: Sequence[str],
        written: str | None = None,
        owned: bool = False,
    ) -> str:
        """The text of a call; `written` names the array that the result is written to.

        `owned` says that nobody else has the last input.
        What `partial` holds is spelled out, and a ufunc's `out` given by its position: both cost
        a step much of the time of a small kernel.
        """
        parts = arguments
        if type(function) is partial:
            parts = [self.bind("p", value) for value in function.args]
            parts += arguments
            parts += [f"{key}={self.bind('p', value)}" for key, value in function.keywords.items()]
            parts += ["owned=True"] * owned
            function = function.func
        if written is not None:
            by_place = isinstance(function, np.ufunc) and function not in _OUT_BY_NAME
            parts = [*parts, written if by_place else f"out={written}"]
        return f"{self.bind('k', function)}({', '.join(parts)})"

    def add(self, line: str, op: Ops = None) -> None:
        """A line; its failures are those of `op`, or of the operations of a piece called there."""
        self.lines.append(self._indent + line)
        self.ops.append(op)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What is added meanwhile stands in a block under this line."""
        self.add(head)
        self._indent += " "
        begin = len(self.lines)
        yield
        if len(self.lines) == begin:
            self.add("pass")
        self._indent = self._indent[:-1]

    def watch_closing(self, cancellation: CancellationManager) -> None:
        """A line that ends the step if its session was closed."""
        self.values |= {"closing": cancellation.flag, "stop_closed": stop_closed}
        self.add("if closing: stop_closed()")

    def watch_deadline(self) -> None:
        """A line that ends the step if its time is over."""
        self.values |= {"clock": time.monotonic, "stop_late": stop_late}
        self.add("if clock() > deadline: stop_late()")

    def compile(self) -> Function:
        """The function."""
        return function_of(self.code(), self.ops, self.values.values())

    def code(self) -> CodeType:
        """The code of the function; what the text uses are defaults: so like texts share it."""
        if self._threads:
            self.lines.append(" finally: here.limit = before")
            self.ops.append(None)
        self.lines[0] = f"def segment({', '.join([*self._inputs, *self.values])}):"
        text = "\n".join(self.lines)
        return _known_code(text) if len(text) < _KEPT else _code(text)


def function_of(code: CodeType, ops: Sequence[Ops], values: Iterable[Any]) -> Function:
    """The function of a code that uses these values; `ops` are those of its lines."""
    return FunctionType(code, {OPERATIONS: ops}, "segment", tuple(values))


# Characters of a text whose code is kept: that of a piece of a long run has some ten thousand.
_KEPT = 1 << 16


def _code(text: str) -> CodeType:
    (code,) = [c for c in compile(text, "<segment>", "exec").co_consts if type(c) is CodeType]
    return code


_known_code = lru_cache(maxsize=256)(_code)
