"""Element-wise programs by a library of neural networks, where there is one for the arrays.

The library compiles chains of operations that go through memory once. Only operations are left to
it of which it gives NumPy's bits; they are done in the order of the program.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tfsession.devices.onednn import Library, Primitive
from tfsession.devices.program import Program, Step
from tfsession.devices.workspace import Workspace

# `dnnl_alg_kind_t`, and the codes of arguments.
_TWO = {"add": 0x1FFF0, "multiply": 0x1FFF1, "divide": 0x1FFF4, "subtract": 0x1FFF5}
_ONE = {"sqrt": 0x25}
_FIRST, _SECOND, _RESULT = 1, 2, 17
_LATER = 1 << 15
_ORDERLESS = frozenset({"add", "multiply"})
# The library takes so many operations behind the first.
_MOST = 31

# Numbers of values that no program has: 1 and -1.
_PLUS, _MINUS = -1, -2


class _Operation(NamedTuple):
    """An operation on what the chain has made; `other` is its other argument, if it has one."""

    name: str
    other: int | None = None


class _Chain(NamedTuple):
    """Operations one after another on the value `first`, which make the value `result`."""

    first: int
    operations: list[_Operation]
    result: int


class Chains:
    """What a program makes of arrays, as chains: `run` writes the results over the first arrays.

    Args:
        program: of arrays of one shape, and numbers.
        count: how many of its inputs are arrays; result number i is written over number i.
    """

    def __init__(self, program: Program, count: int) -> None:
        self._program = program
        self._count = count
        steps = list(enumerate(program.steps, len(program.inputs)))
        self._numbers = [(n, step) for n, step in steps if not step.value.shape]
        self._arrays = {n: step for n, step in steps if step.value.shape}
        self._targets = {number: place for place, number in enumerate(program.results)}
        self.chains: list[_Chain] = []
        self._find_chains()
        taken = {op.other for chain in self.chains for op in chain.operations}
        self._scalars = sorted(n for n in taken if n is not None and not self._is_array(n))

    def _is_array(self, number: int) -> bool:
        return number in self._arrays or 0 <= number < self._count

    @property
    def saved(self) -> int:
        """How many operations do not go through memory on their own."""
        return len(self._arrays) - len(self.chains)

    def _find_chains(self) -> None:
        readers: dict[int, list[int]] = {}
        for number, step in self._arrays.items():
            for argument in set(step.arguments):
                readers.setdefault(argument, []).append(number)
        done = set(range(self._count))
        used: set[int] = set()
        for number, step in self._arrays.items():
            if number in used:
                continue
            first, operations = _begun(step, self._is_array)
            result = number
            while result not in self._targets and len(readers.get(result, ())) == 1:
                (reader,) = readers[result]
                more = _continued(self._arrays[reader], result)
                others = [op.other for op in more if op.other is not None]
                if not more or any(self._is_array(n) and n not in done for n in others):
                    break
                if len(operations) + len(more) > _MOST:
                    break
                operations += more
                result = reader
                used.add(reader)
            done.add(result)
            self.chains.append(_Chain(first, operations, result))

    def is_fit(self) -> bool:
        """Whether the library can compute all of it, and no array is read after it is written."""
        names = {op.name for chain in self.chains for op in chain.operations}
        if not names <= {*_TWO, *_ONE} or len(self._targets) != len(self._program.results):
            return False
        if any(n not in self._arrays and n != place for n, place in self._targets.items()):
            return False
        if any(self._program.value(n).dtype != "float32" for n in self._arrays):
            return False
        written: set[int] = set()
        for chain in self.chains:
            read = {chain.first, *(op.other for op in chain.operations)}
            if not written.isdisjoint(read):
                return False
            if chain.result in self._targets:
                written.add(self._targets[chain.result])
        return True

    def numbers(self, given: Sequence[Any]) -> Any:
        """The numbers that chains take, for those that are given, as a vector."""
        values: dict[int, Any] = {_PLUS: 1, _MINUS: -1}
        values.update(enumerate(given, self._count))
        for number, step in self._numbers:
            if step.name == "literal":
                values[number] = np.dtype(step.value.dtype).type(float(step.text))
            else:
                values[number] = getattr(np, step.name)(*[values[n] for n in step.arguments])
        return np.array([values[n] for n in self._scalars], np.float32)

    def compiled(self, library: Library, size: int) -> list[Primitive] | None:
        """What computes the chains for arrays of one size; None where the library cannot."""
        found = []
        for chain in self.chains:
            kinds = [
                None if op.other is None else self._is_array(op.other) for op in chain.operations
            ]
            names = [op.name for op in chain.operations]
            primitive = _compiled(library, size, tuple(zip(names, kinds, strict=True)))
            if primitive is None:
                return None
            found.append(primitive)
        return found

    def run(self, primitives: Sequence[Primitive], vectors: Sequence[Any], numbers: Any) -> None:
        """Compute it, by what is compiled for their size, for arrays without gaps."""
        values: dict[int, Any] = dict(enumerate(vectors))
        values |= {n: numbers[place : place + 1] for place, n in enumerate(self._scalars)}
        with Workspace(np) as take:
            for chain, primitive in zip(self.chains, primitives, strict=True):
                target = self._targets.get(chain.result)
                out = take(vectors[0].shape, np.float32) if target is None else vectors[target]
                others = [values[op.other] for op in chain.operations if op.other is not None]
                primitive.run(values[chain.first], *others, out)
                values[chain.result] = out


def _begun(step: Step, is_array: Any) -> tuple[int, list[_Operation]]:
    """The array and the operations of a step; the first of them has two arguments."""
    left, *others = step.arguments
    if not others:
        return left, [_Operation("multiply", _PLUS), _Operation(step.name)]
    if not is_array(left):
        return others[0], _turned(step.name, left)
    return left, [_Operation(step.name, others[0])]


def _turned(name: str, left: int) -> list[_Operation]:
    """The operations where the array is the right one of two arguments."""
    if name in _ORDERLESS:
        return [_Operation(name, left)]
    if name == "subtract":  # x - y has the bits of -y + x
        return [_Operation("multiply", _MINUS), _Operation("add", left)]
    return [_Operation("", left)]


def _continued(step: Step, value: int) -> list[_Operation]:
    """The operations of a step on a value that a chain has made; none where they do not fit."""
    left, *others = step.arguments
    if not others:
        return [_Operation(step.name)]
    if Counter(step.arguments)[value] != 1:
        return []
    if left == value:
        return [_Operation(step.name, others[0])]
    found = _turned(step.name, left)
    return found if found[0].name else []


@lru_cache(maxsize=512)
def _compiled(
    library: Library, size: int, operations: tuple[tuple[str, bool | None], ...]
) -> Primitive | None:
    """`chain(first, *others, out)` of vectors; `operations` tell which others are vectors."""
    vector, number = library.layout((1, size), (size, 1)), library.layout((1, 1), (1, 1))
    layouts = [vector if is_vector else number for _, is_vector in operations]
    later = [
        (_ONE[name], None) if is_vector is None else (_TWO[name], layout)
        for (name, is_vector), layout in zip(operations, layouts, strict=True)
    ][1:]
    arguments = {_FIRST: vector, _SECOND: layouts[0]}
    for place, (_, layout) in enumerate(later, 1):
        if layout is not None:
            arguments[_LATER * place | _SECOND] = layout
    found = library.describe(
        "binary", _TWO[operations[0][0]], vector, layouts[0], vector, then=later
    )
    return library.compiled(found, {**arguments, _RESULT: vector})
