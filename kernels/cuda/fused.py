"""Groups of operations of a GPU as generated code, one call of a kernel or a few for all of them.

The kernels of the operations are traced for the arrays that come, and what they compute is written
as CUDA C, compiled and kept by its text. A simulated device calls the same kernels, as one launch.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from tfsession.core.rules import fuser
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.code_library import CodeLibrary, as_one, code_library
from tfsession.devices.code_texts import NotLoaded
from tfsession.devices.nvrtc import CompilationError
from tfsession.devices.program import Call, Value, called
from tfsession.devices.traced import TRACED, Untraceable, dtype_named, traced_program
from tfsession.devices.traced_array import operand
from tfsession.kernels.cuda.body import Argument, Array
from tfsession.kernels.cuda.emit import OPTIONS, Calls, calls, module

# What arrays are read by at once, if they can be.
ALIGNMENT = 16
# A group remembers how arrays of so many kinds are computed.
_MOST_PLANS = 64

_log = logging.getLogger("tfsession")


@fuser("group")
class Fused:
    """A group; called with its values it gives a list of results, or None where it cannot.

    An error is none here: operations one after another find it again, and tell whose it is.
    """

    def __init__(self, xp: Any, group: Sequence[Call], given: int, results: Sequence[int]) -> None:
        self._xp = xp
        self._calls = group
        self._given = given
        self._results = results
        self._plans: dict[Any, Plan | None] = {}

    def __call__(self, *arrays: Any) -> list[Any] | None:
        """The results for these values."""
        try:
            library = code_library(self._xp)
            found = None if library is None else self._launched(library, arrays)
            one = as_one(self._xp)
            return one(self._computed, arrays) if found is None and one is not None else found
        except CaptureRefused:
            raise
        except Exception:
            return None

    def _computed(self, xp: Any, *arrays: Any) -> list[Any]:
        """The results, one operation after another."""
        return called(self._calls, self._results, xp, arrays)

    def planned(self, arrays: Sequence[Array]) -> Calls:
        """How arrays that lie so are computed; raises Untraceable where no code can be written."""
        values = [Value(array.dtype, array.shape) for array in arrays]

        def traced(*inputs: Any) -> list[Any]:
            return [operand(v) for v in called(self._calls, self._results, TRACED, inputs, operand)]

        program = traced_program(traced, values)
        read = {number for step in program.steps for number in step.arguments}
        if any(
            0 in arrays[number].shape
            for number in {*read, *program.results}
            if number < len(arrays)
        ):
            raise Untraceable("an array has no elements")
        return calls(program, arrays)

    def _launched(self, library: CodeLibrary, arrays: Sequence[Any]) -> list[Any] | None:
        places = [array.data.ptr for array in arrays]
        rows = zip(arrays, places, strict=True)
        key = tuple([(a.shape, a.strides, a.dtype, not p % ALIGNMENT) for a, p in rows])
        if key not in self._plans:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            self._plans[key] = self._plan(library, arrays)
        plan = self._plans[key]
        return None if plan is None else plan.run(self._xp, places)

    def _plan(self, library: CodeLibrary, arrays: Sequence[Any]) -> Plan | None:
        given = [layout_of(array) for array in arrays]
        try:
            planned = self.planned(given)
        except (Untraceable, AttributeError, TypeError):
            return None  # no code can be written of it
        return Plan.of(library, planned, "operations are computed one after another")


def layout_of(array: Any) -> Array:
    """How an array of CuPy lies in memory."""
    strides = tuple([stride // array.itemsize for stride in array.strides])
    return Array(array.dtype.name, array.shape, strides, not array.data.ptr % ALIGNMENT)


class Plan:
    """The kernels of a program for arrays of one kind, and the memory that they want."""

    def __init__(
        self, library: CodeLibrary, planned: Calls, options: Sequence[str] = OPTIONS
    ) -> None:
        text, names = module(planned.launches)
        kernels = library.kernels(text, names, options)
        self._launches = [
            (
                partial(kernel, (*launch.grid, 1), (*launch.block, 1)),
                [_prepared(argument, launch.index) for argument in launch.arguments],
            )
            for kernel, launch in zip(kernels, planned.launches, strict=True)
        ]
        self._buffers = [
            (number, value.shape, dtype_named(value.dtype))
            for number, value in planned.buffers.items()
        ]
        self._results = planned.results

    @classmethod
    def of(
        cls, library: CodeLibrary, planned: Calls, otherwise: str, options: Sequence[str] = OPTIONS
    ) -> Plan | None:
        """The kernels; None where they cannot be had, and `otherwise` tells what is done then."""
        try:
            return cls(library, planned, options)
        except NotLoaded:
            return None
        except CompilationError as error:
            _log.warning("%s: %s", otherwise, error)
            return None

    def run(self, xp: Any, places: Sequence[int], into: Sequence[Any] = ()) -> list[Any]:
        """The results, where the arrays lie there; in new memory, or `into` these arrays."""
        made = dict(zip(self._results, into, strict=True)) if into else {}
        for number, shape, dtype in self._buffers:
            if number not in made:
                made[number] = xp.empty(shape, dtype)
        addresses = dict(enumerate(map(np.uint64, places)))
        addresses |= {number: np.uint64(array.data.ptr) for number, array in made.items()}
        for launch, arguments in self._launches:
            launch(tuple([addresses[a] if type(a) is int else a for a in arguments]))
        return [made[number] for number in self._results]


def _prepared(argument: Argument, index: str) -> Any:
    """The number of a value, or the number to give."""
    if argument.value >= 0:
        return argument.value
    return np.uint32(argument.number) if index == "unsigned int" else np.int64(argument.number)
