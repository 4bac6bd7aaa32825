"""What stands for several operations of a GPU that run sometimes, or often: see structuring."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node

Read = tuple[Tensor, Memory]


@dataclass(slots=True, eq=False)
class Part:
    """Operations one after another, and the tensors that they are for, in the same memory.

    `others` are read outside, too, where it is known that the part has run.
    """

    nodes: list[Node]
    results: list[Tensor]
    others: list[Tensor] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Structure(Node):
    """Operations of a GPU that run sometimes, or often; `parts` are functions of `reads`."""

    parts: tuple[Part, ...] = ()
    reads: tuple[Read, ...] = ()

    def within(self) -> Iterator[Node]:
        """The operations inside, those of structures inside included."""
        for part in self.parts:
            yield from each_within(part.nodes)


@dataclass(slots=True, eq=False)
class Fork(Structure):
    """Two ways, of which the first input says whether it is the second: (if false, if true).

    `switch` is an operation that asks, for errors.
    """

    switch: Operation | None = None


@dataclass(slots=True, eq=False)
class Repeat(Structure):
    """A loop: the parts are its condition, and what gives the next values of its variables.

    Both read the variables, and then what else they need. `carried` are the numbers of the
    variables that are given back; `switch` is an operation that asks for the condition, for errors.
    """

    variables: int = 0
    carried: tuple[int, ...] = ()
    switch: Operation | None = None


def each_within(nodes: Iterable[Node]) -> Iterator[Node]:
    """The nodes, and those inside of structures."""
    for node in nodes:
        yield node
        if isinstance(node, Structure):
            yield from node.within()
