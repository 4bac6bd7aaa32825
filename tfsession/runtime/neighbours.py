"""Operations that stand beside each other, and who of them reads what: for those who group them."""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence

from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node


class Neighbours:
    """Operations whose order is only that of their inputs, and who reads what they make."""

    def __init__(
        self,
        nodes: Sequence[Node],
        feeds: Collection[Tensor],
        is_needed: Container[Tensor],
        readers: Mapping[Tensor, Sequence[Node]],
    ) -> None:
        self._nodes = nodes
        self._feeds = feeds
        self._is_needed = is_needed
        self._readers = readers
        self._places = {node.op: index for index, node in enumerate(nodes)}
        self._makers = {t: i for i, node in enumerate(nodes) for t in node.op.outputs}
        for tensor in feeds:
            self._makers.pop(tensor, None)
        self._awaited = {op for node in nodes for op in node.controls}

    def _inside(self, node: Node) -> list[Node]:
        """Who reads the one result of an operation, if only operations of this stretch do."""
        (made,) = node.op.outputs
        readers = list(self._readers.get(made, ()))
        is_known = made not in self._is_needed and made not in self._feeds
        if not is_known or node.op in self._awaited or not all(map(self._is_here, readers)):
            return []
        return readers

    def _is_here(self, node: Node) -> bool:
        return node.op in self._places

    def _is_scalar(self, tensor: Tensor) -> bool:
        """Whether it is one number that is known."""
        return tensor.op.type == "Const" and tensor._shape == () and tensor not in self._feeds

    def _with_groups(self, groups: Mapping[int, Node], taken: Container[int]) -> list[Node]:
        """The operations, with groups at their places, and without those that were taken."""
        return [
            groups.get(index, node)
            for index, node in enumerate(self._nodes)
            if index in groups or index not in taken
        ]
