"""The variables of a recorded step: where they lie, what is written to, and who else looks at it.

A recording writes to variables where they lay when it was made. So what others have read of them
must not be there: as without a recording, a resource variable then gets an array of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType
from typing import Any
from weakref import ref

from tfsession.core.dtypes import float32
from tfsession.devices.accelerator import Accelerator
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.memory import OPERATIONS
from tfsession.resources.variable import Variable
from tfsession.runtime.segments import Function

Key = tuple[Any, ...]
Value = Any


class VariableState:
    """Where variables lie before something is done to them.

    Nothing here counts as a reference to their arrays: a resource variable is updated in place only
    when nobody has its array.
    """

    def __init__(self, device: Accelerator, variables: Sequence[Variable]) -> None:
        self._device = device
        self._rows = [
            (variable, ref(variable.array), device.alias(variable.array))
            for variable in dict.fromkeys(variables)
            if device.owns(variable.array)
        ]
        self._empty = [variable for variable in variables if variable.array is None]

    @property
    def arrays(self) -> list[Any]:
        """Their arrays, as others of the same memory."""
        return [array for _, _, array in self._rows]

    def _replaced(self) -> list[tuple[Variable, Any]]:
        """The variables that lie elsewhere by now, and the arrays that they had."""
        rows = [(v, known(), alias) for v, known, alias in self._rows]
        # Who holds such an array must go on to share it with the variable.
        return [
            (v, alias if own is None else own)
            for v, own, alias in rows
            if own is None or v.array is not own
        ]

    def overtaken(self, results: Sequence[Value]) -> list[Any]:
        """Those of the results that lie where a variable does, and are not what it is now.

        They are what it held before it was given a new array, or a part of it.
        """
        device = self._device
        old = {id(variable) for variable, _ in self._replaced()}
        found = []
        for value in results:
            if not device.owns(value) or not value.size:
                continue
            at = device.address(value)
            for variable, _, array in self._rows:
                begin = device.address(array)
                if begin <= at < begin + array.nbytes:
                    is_whole = at == begin and value.shape == array.shape
                    if id(variable) in old or not is_whole:
                        found.append(value)
                    break
        return found

    def settle(self, results: Sequence[Value]) -> list[Value]:
        """Let variables be where they were, with the new content; what was read stays as it was.

        Raises CaptureRefused where a variable has been made or unmade.
        """
        copied = {id(value): value.copy() for value in self.overtaken(results)}
        for variable, array in self._replaced():
            if variable.array is None or variable.array.shape != array.shape:
                raise CaptureRefused(f"variable {variable.name} has got another shape")
            array[...] = variable.array
        self.restore()
        return [copied.get(id(value), value) for value in results]

    def restore(self) -> None:
        """Let variables be where they were."""
        for variable, array in self._replaced():
            variable.place(array)
        made = [variable for variable in self._empty if variable.array is not None]
        for variable in made:
            variable.place(None)
        if made:
            raise CaptureRefused(f"variable {made[0].name} got its first value")

    @property
    def has_moved(self) -> bool:
        """Whether a variable got other memory, or a first value."""
        return bool(self._replaced()) or any(v.array is not None for v in self._empty)

    def variable_at(self, value: Any) -> Variable | None:
        """The variable of which this is the array."""
        address = self._device.address(value)
        for variable, _, array in self._rows:
            if self._device.address(array) == address and array.shape == value.shape:
                return variable
        return None

    def when_moved(self, tell: Callable[[Any], object]) -> list[ref[Any]]:
        """Calls `tell` when one of the arrays is gone; as long as the references are kept."""
        return [ref(variable.array, tell) for variable, _, _ in self._rows]


class Home:
    """Where recordings write to a variable that had to leave: others hold its array."""

    def __init__(self, variable: Variable) -> None:
        self._variable = variable
        self._array: Any = variable.array

    @property
    def is_away(self) -> bool:
        """Whether the variable lies elsewhere."""
        return self._variable.array is not self._array

    def take_back(self) -> None:
        """Let the variable be here again, with its value of now, if nobody looks at what is here.

        The caller holds the variable's lock.
        """
        there, here = self._variable.array, self._array
        if there is here or there is None or sys.getrefcount(self._array) > _HOME_REFERENCES:
            return
        if there.shape == here.shape and there.dtype == here.dtype:
            here[...] = there
            self._variable.place(here)


def held(
    variables: Sequence[Variable],
    names: Sequence[str],
    arguments: Sequence[Value],
    readers: Mapping[str, int],
) -> list[Home]:
    """Where those of the variables lie whose arrays others hold than the segment itself.

    Its arguments and their names are given. What only this segment still reads, as `readers` tells,
    nobody else looks at.
    """
    arrays = [variable.array for variable in variables]
    if max(map(sys.getrefcount, arrays)) <= _LISTED_REFERENCES:
        return []
    del arrays
    return [
        Home(variable)
        for variable in variables
        if variable.is_shared(_references_of(variable, names, arguments, readers))
    ]


def _references_of(
    variable: Variable,
    names: Sequence[str],
    arguments: Sequence[Value],
    readers: Mapping[str, int],
) -> int:
    """How often the arguments and the step's values hold a variable's array for this segment."""
    array = variable.array
    return sum(
        2 if readers.get(name) == 1 else 1
        for name, value in zip(names, arguments, strict=True)
        if value is array
    )


def aliases(
    device: Accelerator,
    arguments: Sequence[Value],
    staged: frozenset[int],
    variables: Sequence[Variable],
) -> list[int]:
    """The arguments that lie where a variable does: what is written there shows in them."""
    places = {device.address(v.array) for v in variables if device.owns(v.array)}
    if not places:
        return []
    return [
        number
        for number, value in enumerate(arguments)
        if number not in staged and device.owns(value) and device.address(value) in places
    ]


def locations(variables: Sequence[Variable]) -> Key:
    """Where variables lie."""
    return tuple([id(variable.array) for variable in variables])


class Composed:
    """What is called like a function, and calls compiled functions, its parts."""

    def __init__(self, parts: Sequence[Function]) -> None:
        self.parts = parts


def bound_to(function: Function) -> Iterator[Any]:
    """What a compiled function works with beside its arguments, and what its pieces do."""
    for value in function.__defaults__ or ():
        if type(value) is FunctionType and OPERATIONS in value.__globals__:
            yield from bound_to(value)
        elif isinstance(value, Composed):
            for part in value.parts:
                yield from bound_to(part)
        else:
            yield value


def is_variable(value: Any) -> bool:
    """Whether a value is the storage of a variable."""
    return isinstance(value, Variable)


def _references() -> tuple[int, int]:
    home = Home(Variable("", float32, ""))
    home._array = here = object()
    of_home = sys.getrefcount(home._array)
    del here
    listed = [home._array]
    return of_home, max(map(sys.getrefcount, listed))


# What Python counts when a home has an array and its method looks at it, and when a variable and a
# list have it.
_HOME_REFERENCES, _LISTED_REFERENCES = _references()
