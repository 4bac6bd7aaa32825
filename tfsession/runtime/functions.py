"""Which calls of functions a step needs, and what is read in place of what they give."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

from tfsession.core.errors import ResourceExhaustedError
from tfsession.core.lazy import lazy
from tfsession.graph.graph import Graph
from tfsession.graph.lowering import Lowered, graph_beside, is_lowered, lower, lower_alone
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.plan import Signature
from tfsession.runtime.prune import prune
from tfsession.runtime.wiring import Element

E = TypeVar("E", Tensor, Operation)

# A body is written out wherever it is called, so a function that calls itself would never end.
_DEEPEST = 100
_MOST_OPERATIONS = 2_000_000


class Functions:
    """The calls of one session's graph, written out once each, when a step first needs them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._lowered: dict[Operation, Lowered] = {}
        self._depth: dict[Operation, int] = {}

    @lazy
    def _beside(self) -> Graph:
        """Where the bodies are written."""
        return graph_beside(self._graph)

    def lowered(self, signature: Signature) -> Signature:
        """A step in which bodies of functions stand for the calls of them.

        Raises:
            InvalidArgumentError: a function does not fit its call.
            NotFoundError: the graph lacks a function.
            ResourceExhaustedError: a function calls itself.
        """
        if not self._graph._functions:
            return signature
        fed = frozenset(signature.feeds)
        wiring: dict[Element, Element] = {}
        while True:
            needed = prune(signature.fetches, signature.targets, signature.feeds, signature.wiring)
            calls = [op for op in needed if is_lowered(op) and op not in wiring]
            if not calls:
                return signature
            for op in calls:
                self._connect(op, fed, wiring)
            signature = replace(
                signature,
                fetches=tuple([_end(t, wiring) for t in signature.fetches]),
                targets=tuple([_end(op, wiring) for op in signature.targets]),
                lowered=tuple(wiring.items()),
            )

    def called_by_kernels(self, name_attrs: Any) -> Signature:
        """A step that is a call of a function by itself: its arguments are fed, results fetched.

        Raises as `lowered` does.
        """
        arguments, results, done = lower_alone(name_attrs, self._beside)
        feeds = tuple(arguments)
        return Signature(tuple(results), (done,), feeds, (None,) * len(feeds))

    def _connect(
        self, op: Operation, fed: Collection[Element], wiring: dict[Element, Element]
    ) -> None:
        found = self._lowered.get(op)
        if found is None:
            found = self._lowered[op] = self._lower(op)
        wiring[op] = found.done
        pairs = zip(op.outputs, found.outputs, strict=True)
        wiring.update((tensor, stand_in) for tensor, stand_in in pairs if tensor not in fed)

    def _lower(self, op: Operation) -> Lowered:
        beside, depth = self._beside, self._depth.get(op, 0) + 1
        if depth > _DEEPEST or len(beside._ops) > _MOST_OPERATIONS:
            raise ResourceExhaustedError(
                None,
                op,
                f"Calls of functions in '{op.name}' go more than {_DEEPEST} deep, or come to more "
                f"than {_MOST_OPERATIONS} operations: does a function call itself? Loops are "
                "written with tf.while_loop.",
            )
        before = beside._version
        found = lower(op, beside)
        for made in islice(reversed(beside._ops.values()), beside._version - before):
            if is_lowered(made):
                self._depth[made] = depth
        return found


def _end(element: E, wiring: Mapping[Any, Any]) -> E:
    while element in wiring:
        element = wiring[element]
    return element
