"""Runs: operations one after another in a function's text, what their values are called, and where
long ones are cut.

Python compiles a long function slowly, and graphs repeat themselves: a long run is cut into pieces,
each a function of its own with names of its own, so that pieces that do the same have the same
text, which is compiled once.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import accumulate, chain
from typing import Any

from tfsession.runtime.partition import Node

# A piece has at least so many operations, the last one aside, and less than twice as many.
_PIECE = 256

# What values go by until a text names them: the tensor, or a name where one tensor has several.
Key = Any
Keyed = Sequence[Sequence[Key]]


class Run:
    """What the values of operations are called in a text, and when they end.

    A value that goes through an operation unchanged needs no second name, nor does a constant, and
    a result takes over the name of a value that ends where it is made: so there is less to do
    between two kernels. What is `needed` outside has the name by which it is known there.

    Attributes:
        inputs, outputs: the keys of what each operation reads and makes; one that went through
            others has the key that it had first.
        ends: the last reader of each value that is not needed outside.
        dying: the values that end with each operation, and give their name to no other.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        inputs: Keyed,
        outputs: Keyed,
        needed: Container[Key],
        constants: Mapping[Key, Any],
        taken: Sequence[Key] | None = None,
    ) -> None:
        """Work out all names.

        Args:
            nodes: the operations.
            inputs: the keys of what each reads.
            outputs: the keys of what each makes; an underscore for what is fed.
            needed: the keys of what is read outside.
            constants: the constants known so far, by key; others may come while text is written.
            taken: for a text with names of its own, what it is given; keys are names else.
        """
        self.nodes = nodes
        self.outputs = outputs
        self.inputs: list[Sequence[Key]] = []
        self.ends: dict[Key, int] = {}
        self.dying: dict[int, list[Key]] = {}
        self._needed = needed
        self._constants = constants
        self._same: dict[Key, Key] = {}  # what went through, and what it was
        self._shared: dict[Key, Key] = {}  # what gave its name to something else
        self._find_ends(inputs)
        self._share_names(frozenset(taken or ()))
        self.texts = self._called(taken)

    def value(self, name: Key) -> Key:
        """The key that the value of this key had first."""
        return self._same.get(name, name)

    def _find_ends(self, inputs: Keyed) -> None:
        same, needed, last_use = self._same, self._needed, dict[Key, int]()
        constants: set[Key] = set()
        for index, (node, names, results) in enumerate(
            zip(self.nodes, inputs, self.outputs, strict=True)
        ):
            if same:
                names = [same.get(name, name) for name in names]
            self.inputs.append(names)
            for name in names:
                last_use[name] = index
            kernel = node.kernel
            if kernel.constant:
                constants.update(results)
                continue
            through = kernel.forwards and not node.inputs[0].dtype.is_ref  # else it is read
            for name in results:
                if through and name != "_" and name not in needed:
                    same[name] = names[0]
                elif name != "_" and name not in last_use:
                    last_use[name] = index
        known = self._constants
        for name, index in last_use.items():
            if name not in needed and name not in constants and name not in known:
                self.ends[name] = index
                self.dying.setdefault(index, []).append(name)

    def _share_names(self, taken: frozenset[Key]) -> None:
        """From the end on: what ends where something is made gets the name of that."""
        made_at = dict.fromkeys(taken, -1)
        for index, results in enumerate(self.outputs):
            if not self.nodes[index].kernel.constant:
                for name in results:
                    made_at[name] = index
        texts = self._shared
        for index in sorted(self.dying, reverse=True):
            results = self.outputs[index]
            if not results or results[0] == "_" or results[0] in self._same:
                continue
            dying = self.dying[index]
            for name in dying:
                if made_at.get(name, index) < index:
                    texts[name] = texts.get(results[0], results[0])
                    dying.remove(name)
                    break

    def _called(self, taken: Sequence[Key] | None) -> dict[Key, str]:
        """What all values are called in the text."""
        rows = chain.from_iterable(zip(self.inputs, self.outputs, strict=True))
        names = dict.fromkeys(chain(taken or (), chain.from_iterable(rows)))
        same, shared = self._same, self._shared
        texts = [shared.get(value, value) for value in [same.get(name, name) for name in names]]
        if taken is not None:
            own = {text: f"a{number}" for number, text in enumerate(dict.fromkeys(texts))}
            own["_"] = "_"
            texts = [own[text] for text in texts]
        return dict(zip(names, texts, strict=True))


def pieces_of(
    nodes: Sequence[Node], outputs: Keyed, last_use: Mapping[Key, int]
) -> list[tuple[int, int]]:
    """Where a long run is cut: the first operation of each piece, and the one behind its last.

    A cut is where the fewest values go across: where layers meet, mostly, so that like layers give
    like pieces. `last_use` has the number of the last operation that reads each value.
    """
    length = len(nodes)
    changes = [0] * (length + 1)
    for index, results in enumerate(outputs):
        if nodes[index].kernel.constant:
            continue
        for name in results:
            end = last_use.get(name, index)
            if end > index:
                changes[index + 1] += 1
                changes[end + 1] -= 1
    living = list(accumulate(changes))
    cuts = [0]
    while length - cuts[-1] > _PIECE * 5 // 4:  # what is left is like no other: better a short one
        begin = cuts[-1] + _PIECE
        crossing = living[begin : min(begin + _PIECE, length)]
        cuts.append(begin + crossing.index(min(crossing)))
    return list(zip(cuts, [*cuts[1:], length], strict=True))
