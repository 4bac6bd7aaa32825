"""Pieces: parts of a long run that are functions of their own; those that are alike share a text.

What a text says follows from how operations are called, from how they are connected, and from the
types and shapes of what they read and make. Only what it binds, and whose failures its lines are,
is of one piece alone: so the text is written for the first piece of each kind, and the others take
its code.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Mapping, Sequence
from itertools import chain
from operator import attrgetter
from types import CodeType
from typing import Any, NamedTuple

from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.errors import Ops
from tfsession.runtime.function_text import Source, function_of
from tfsession.runtime.partition import Node
from tfsession.runtime.runs import Key, Keyed
from tfsession.runtime.segments import Function, Value

_dtype_of, _shape_of = attrgetter("dtype"), attrgetter("_shape")


class Call(NamedTuple):
    """How an operation is called.

    Attributes:
        form: equal for calls that are written alike, if what they read is alike; None where no
            other is written like it.
        values: what the text binds for it.
        function: what is called, if anything is.
        text: the text of a kernel that spells itself, in which names stand for `values`.
        names: those names.
    """

    form: Hashable
    values: Sequence[Value] = ()
    function: Function | None = None
    text: str = ""
    names: Sequence[str] = ()


class Piece:
    """Operations of a long run that become a function of their own.

    Attributes:
        keys: all that they read and make, in order.
        needed: those that are read behind them.
        taken: what they read that others have made, constants aside.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        inputs: Keyed,
        outputs: Keyed,
        constants: Mapping[Key, Value],
    ) -> None:
        self.nodes = nodes
        self.inputs = inputs
        self.outputs = outputs
        self.keys: list[Key] = list(dict.fromkeys(self._flat()))
        self.needed: set[Key] = set()
        self._made = set(chain.from_iterable(outputs)).difference(constants)
        self.taken = [key for key in self.keys if key not in self._made and key not in constants]

    @property
    def given(self) -> list[Key]:
        """What they make that is needed, constants aside."""
        return [key for key in self.keys if key in self.needed and key in self._made]

    def _flat(self) -> Iterable[Key]:
        rows = zip(self.inputs, self.outputs, strict=True)
        return chain.from_iterable(chain.from_iterable(rows))

    def kind(
        self,
        calls: Sequence[Call],
        known: Sequence[Mapping[Key, Value]],
        fresh: Container[Key],
        feeds: Container[Tensor],
    ) -> tuple[Hashable, Sequence[Value]] | None:
        """What is equal for pieces of one text, and the values that it may bind.

        Args:
            calls: how each operation is called.
            known: the constants, by what they are bound as.
            fresh: what of `taken` may be written over.
            feeds: the fed tensors.

        Returns:
            None where the text is of this piece alone.
        """
        forms, keys = [call.form for call in calls], self.keys
        if None in forms or {*map(type, keys)} != {Tensor}:
            return None
        values: list[Value] = []
        for constants in known:
            if constants:
                values += [constants[key] for key in keys if key in constants]
        values += chain.from_iterable([call.values for call in calls])
        own = {id(value): value for value in values}
        places = dict(zip(own, range(len(own)), strict=True))
        numbers = dict(zip(keys, range(len(keys)), strict=True))
        kind = (
            *forms,
            *map(len, self.inputs),
            *map(len, self.outputs),
            *map(numbers.__getitem__, self._flat()),
            *map(id, map(_dtype_of, keys)),
            *map(_shape_of, keys),
            *map(self.needed.__contains__, keys),
            *chain.from_iterable([map(constants.__contains__, keys) for constants in known]),
            *[key in fresh for key in self.taken],
            *[key in feeds for key in self.taken],
            *map(places.__getitem__, map(id, values)),
        )
        return (len(forms), len(keys), len(self.taken), *kind), list(own.values())


class Pattern(NamedTuple):
    """What pieces of one kind share.

    Attributes:
        code: the code of their functions.
        places: for each value that it uses, where that is: among those of a piece, or behind them.
        fixed: the values that are the same for all pieces.
        lines: for each line the number of its operation, -1 for none.
        fresh: the numbers of the values that may be written over behind the piece.
    """

    code: CodeType
    places: Sequence[int]
    fixed: Sequence[Value]
    lines: Sequence[int]
    fresh: Sequence[int]

    @classmethod
    def of(
        cls, source: Source, piece: Piece, values: Sequence[Value], fresh: Container[Key]
    ) -> Pattern:
        """That of a piece whose text has been written."""
        where = {id(value): place for place, value in enumerate(values)}
        fixed: list[Value] = []
        for value in source.values.values():
            if id(value) not in where:
                where[id(value)] = len(where)
                fixed.append(value)
        numbers: dict[Any, int] = {node.op: number for number, node in enumerate(piece.nodes)}
        return cls(
            source.code(),
            [where[id(value)] for value in source.values.values()],
            fixed,
            [-1 if op is None else numbers[op] for op in source.ops],
            [number for number, key in enumerate(piece.keys) if key in fresh],
        )

    def function(self, piece: Piece, values: Sequence[Value]) -> tuple[Function, list[Ops]]:
        """The function of a piece, and the operations of its lines."""
        ops: list[Operation | None] = [*[node.op for node in piece.nodes], None]
        lines: list[Ops] = [ops[number] for number in self.lines]
        all_values = [*values, *self.fixed]
        return function_of(self.code, lines, [all_values[place] for place in self.places]), lines
