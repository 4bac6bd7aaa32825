"""Attention on a GPU: softmax(scale * Q K^T + mask) V, as one kernel where that is worth it.

It is known by its operations: a product of matrices in batches, what scales its result by a number,
what adds a mask, softmax, and a product of that. Where somebody else reads what is made on the way,
as gradients do, the operations stay apart.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import bfloat16, float16, float32
from tfsession.core.rules import fusers
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.spares import Spares
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import in_stretches
from tfsession.runtime.fuse_device import OnDevice
from tfsession.runtime.fuse_products import is_alike
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

_TYPES = frozenset({float32, float16, bfloat16})
_PRODUCTS = frozenset({"BatchMatMul", "BatchMatMulV2"})
_SUMS = frozenset({"Add", "AddV2"})
_QUOTIENTS = frozenset({"Div", "RealDiv"})


class Attention(OnDevice):
    """An attention; `parts` begin with the product of Q and K, and end with that with V."""

    __slots__ = ()

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes it by one kernel, or by two products and what stands between them.

        It gives None where the operations shall run one after another.
        """
        device: Any = self.memory
        first, last = self.parts[0], self.parts[-1]
        scale, mask = _between(self.parts[1:-2], first.op.outputs[0])
        taken = [*first.inputs, last.inputs[1], *([] if mask is None else [mask])]
        places = [self.inputs.index(tensor) for tensor in taken]
        at_once = fusers["attention"](
            device.xp, scale, mask is not None, not first.op.attrs["adj_y"]
        )
        in_turn = self._in_turn(mask, fetched, closing, spares)

        def attention(*values: Any) -> Any:
            arrays = [values[place] for place in places]
            found = at_once(*arrays)
            return in_turn(*arrays) if found is None else found

        return attention

    def _in_turn(self, mask: Tensor | None, *told: Any) -> Callable[..., Any]:
        """The two products, with one group of operations between them."""
        first, *between, last = self.parts
        scores, powers = first.op.outputs[0], between[-1].op.outputs[0]
        given = [scores, *([] if mask is None else [mask])]
        softmax = OnDevice.of(between, given, [powers]).computed(*told)
        xp = first.memory.xp  # type: ignore[union-attr]
        multiply, finish = (
            node.kernel.bind(xp, node.op.op_def, node.op.attrs) for node in (first, last)
        )

        def computed(q: Any, k: Any, v: Any, *masks: Any) -> Any:
            try:
                found = softmax(multiply(q, k), *masks)
                return None if found is None else finish(found, v)
            except CaptureRefused:
                raise
            except Exception:
                return None  # operations one after another tell whose error it is

        return computed


def _between(parts: Sequence[Node], scores: Tensor) -> tuple[float, Tensor | None]:
    """The scale, and the mask, of what is done to scores before softmax."""
    scale, mask = 1.0, None
    for node in parts:
        (other,) = [tensor for tensor in node.inputs if tensor is not scores]
        if node.op.type in _SUMS:
            mask = other
        else:
            number = float(np.asarray(other.op.attrs["value"]).astype(np.float64))
            scale = 1 / number if node.op.type in _QUOTIENTS else number
        (scores,) = node.op.outputs
    return scale, mask


def fused_attention(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """As `fuse.fused`, for the attentions of a segment of a GPU."""
    if not any(_is_softmax(node) for node in nodes):
        return list(nodes)
    return in_stretches(_Stretch, nodes, feeds, is_needed)


def _is_softmax(node: Node) -> bool:
    op = node.op
    return op.type == "Softmax" and node.memory is not None and op.attrs.get("T") in _TYPES


class _Stretch(Neighbours):
    """Operations among which there are attentions."""

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs, each where its last one stood."""
        groups: dict[int, Node] = {}
        taken: set[int] = set()
        for node in self._nodes:
            parts = self._around(node) if _is_softmax(node) else []
            places = [self._places[part.op] for part in parts]
            if parts and taken.isdisjoint(places):
                taken.update(places)
                groups[places[-1]] = self._group(parts)
        return self._with_groups(groups, taken)

    def _group(self, parts: Sequence[Node]) -> Node:
        made = {tensor for part in parts for tensor in part.op.outputs}
        inputs = dict.fromkeys(
            t for part in parts for t in part.inputs if t not in made and not self._is_scalar(t)
        )
        return Attention.of(parts, list(inputs), parts[-1].op.outputs)

    def _around(self, softmax: Node) -> list[Node]:
        """The operations of an attention with this softmax; none where it is not one of one."""
        readers = self._inside(softmax)
        if len(readers) != 1 or not self._is_last(readers[0], softmax):
            return []
        chain = [softmax, readers[0]]
        for is_wanted in (self._is_sum, self._is_scaled, None):
            maker = self._maker_of(chain[0], is_wanted)
            if maker is not None:
                chain.insert(0, maker)
        first, last = chain[0], chain[-1]
        is_whole = first.op.type in _PRODUCTS and not first.op.attrs["adj_x"]
        return chain if is_whole and last.op.outputs[0] not in self._feeds else []

    def _is_last(self, node: Node, softmax: Node) -> bool:
        attrs = node.op.attrs
        return (
            node.op.type in _PRODUCTS
            and is_alike(node, softmax)
            and not (attrs["adj_x"] or attrs["adj_y"])
            and node.inputs[0] is softmax.op.outputs[0]
            and node.inputs[1] is not node.inputs[0]
        )

    def _maker_of(self, node: Node, is_wanted: Callable[[Node], bool] | None) -> Node | None:
        """What makes the scores that an operation takes, which only that one reads.

        A product where nothing else `is_wanted`.
        """
        for tensor in node.inputs:
            maker = self._nodes[self._makers[tensor]] if tensor in self._makers else None
            if maker is None or tensor in self._feeds or not is_alike(maker, node):
                continue
            if self._inside(maker) != [node] or len(set(node.inputs)) != len(node.inputs):
                continue
            if maker.op.type in _PRODUCTS if is_wanted is None else is_wanted(maker):
                return maker
        return None

    def _is_scaled(self, node: Node) -> bool:
        if node.op.type not in {"Mul", *_QUOTIENTS}:
            return False
        numbers = [tensor for tensor in node.inputs if self._is_scalar(tensor)]
        if len(numbers) != 1 or (node.op.type != "Mul" and numbers[0] is not node.inputs[1]):
            return False
        value = float(np.asarray(numbers[0].op.attrs["value"]).astype(np.float64))
        return bool(np.isfinite(value)) and (value != 0 or node.op.type == "Mul")

    def _is_sum(self, node: Node) -> bool:
        """Whether it adds a mask to scores."""
        if node.op.type not in _SUMS or len(set(node.inputs)) != 2:
            return False
        return not any(map(self._is_scalar, node.inputs))
