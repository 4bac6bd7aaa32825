"""Which operations are an attention.

It is known by its operations: a product of matrices in batches; what scales its result, adds a
mask, multiplies with one, or puts a number where a condition tells; softmax; dropout; and a product
of that. Where somebody else reads what is made on the way, but for gradients, they stay apart.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from tfsession.core.dtypes import bfloat16, float16, float32
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import has_effects
from tfsession.runtime.fuse_products import is_alike
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

_TYPES = frozenset({float32, float16, bfloat16})
PRODUCTS = frozenset({"BatchMatMul", "BatchMatMulV2"})
_SUMS = frozenset({"Add", "AddV2"})
_QUOTIENTS = frozenset({"Div", "RealDiv"})
SELECTS = frozenset({"Select", "SelectV2"})
# They change nothing but where a stream of random numbers stands: attention may pass them.
_DRAWS = frozenset({"RandomUniform", "RandomStandardNormal", "TruncatedNormal", "RandomUniformInt"})
# Changes of scores, or of shares, and arrays that they read in all.
_MOST_CHANGES, _MOST_ARRAYS = 6, 3
# Operations between a number and what is made of it alone.
_MOST_STEPS = 4


class Step(NamedTuple):
    """An operation that changes a matrix, and how: see `kernels.cuda.attention_changes`.

    `array` is what it reads beside the matrix, and `value` what it puts elsewhere, if that is not
    one number itself.
    """

    node: Node
    kind: str
    number: float
    array: Tensor | None = None
    value: Tensor | None = None

    @property
    def told(self) -> tuple[str, float]:
        """The kind with its number."""
        return self.kind, self.number


@dataclass(eq=False)
class Forward:
    """The operations of an attention."""

    first: Node
    changes: Sequence[Step]
    softmax: Node
    shares: Sequence[Step]
    last: Node

    @property
    def changed(self) -> list[Node]:
        """What changes scores."""
        return [step.node for step in self.changes]

    @property
    def dropped(self) -> list[Node]:
        """What changes shares."""
        return [step.node for step in self.shares]

    @property
    def parts(self) -> list[Node]:
        """All operations, in their order."""
        return [self.first, *self.changed, self.softmax, *self.dropped, self.last]

    @property
    def told_changes(self) -> list[tuple[str, float]]:
        """What is done to scores."""
        return [step.told for step in self.changes]

    @property
    def told_shares(self) -> list[tuple[str, float]]:
        """What is done behind softmax."""
        return [step.told for step in self.shares]

    @property
    def masks(self) -> list[Tensor]:
        """The arrays that the changes read, in their order."""
        return [step.array for step in (*self.changes, *self.shares) if step.array is not None]

    @property
    def values(self) -> list[Tensor]:
        """What is put aside instead of scores: arrays of one number."""
        return [step.value for step in (*self.changes, *self.shares) if step.value is not None]

    @property
    def taken(self) -> list[Tensor]:
        """Q, K, V, and the arrays that the changes read."""
        return [*self.first.inputs, self.last.inputs[1], *self.masks]

    @property
    def powers(self) -> Tensor:
        """The probabilities."""
        return self.softmax.op.outputs[0]

    @property
    def shared(self) -> Tensor:
        """What is multiplied with V."""
        return self.dropped[-1].op.outputs[0] if self.shares else self.powers

    @property
    def is_transposed(self) -> bool:
        """Whether K comes with its columns as rows."""
        return not self.first.op.attrs["adj_y"]


def is_softmax(node: Node) -> bool:
    """Whether an attention may be around a node."""
    op = node.op
    return op.type == "Softmax" and node.memory is not None and op.attrs.get("T") in _TYPES


class Forwards(Neighbours):
    """The operations of a segment, among which attentions are found."""

    def __init__(
        self,
        nodes: Sequence[Node],
        feeds: Collection[Tensor],
        is_needed: Container[Tensor],
        readers: Mapping[Tensor, Sequence[Node]],
    ) -> None:
        super().__init__(nodes, feeds, is_needed, readers)
        effects = [has_effects(node) and node.op.type not in _DRAWS for node in nodes]
        self._epochs = list(accumulate(effects))
        # The first operation that waits for one.
        self._waits: dict[Operation, int] = {}
        for index, node in enumerate(nodes):
            for op in node.controls:
                self._waits.setdefault(op, index)

    def around(self, softmax: Node) -> Forward | None:
        """The attention with this softmax; None where it is not one of one."""
        shares: list[Step] = []
        last = None
        made = softmax.op.outputs[0]
        while last is None and len(shares) <= _MOST_CHANGES:
            readers = [node for node in self._readers.get(made, ()) if self._is_here(node)]
            last = next((node for node in readers if self._is_last(node, softmax, made)), None)
            if last is None:
                found = [s for node in readers if (s := self._share(node, made, softmax))]
                if len(found) != 1:
                    return None
                shares += found
                (made,) = found[0].node.op.outputs
        changes: list[Step] = []
        made = softmax.inputs[0]
        while (node := self._maker(made, softmax)) is not None:
            if node.op.type in PRODUCTS:
                break
            step = self._change(node)
            if step is None or len(changes) == _MOST_CHANGES:
                return None
            changes.insert(0, step[0])
            made = step[1]
        arrays = [step for step in (*changes, *shares) if step.array is not None]
        if last is None or node is None or node.op.attrs["adj_x"] or len(arrays) > _MOST_ARRAYS:
            return None
        return Forward(node, changes, softmax, shares, last)

    def _is_last(self, node: Node, softmax: Node, made: Tensor) -> bool:
        attrs = node.op.attrs
        return (
            node.op.type in PRODUCTS
            and is_alike(node, softmax)
            and not (attrs["adj_x"] or attrs["adj_y"])
            and node.inputs[0] is made
            and node.inputs[1] is not made
        )

    def _maker(self, tensor: Tensor, like: Node) -> Node | None:
        """What makes a tensor of numbers of this segment."""
        if tensor not in self._makers:
            return None
        node = self._nodes[self._makers[tensor]]
        return node if node.memory is like.memory and node.op.attrs.get("T") in _TYPES else None

    def _change(self, node: Node) -> tuple[Step, Tensor] | None:
        """How an operation changes scores, and which of its inputs these are."""
        if not is_alike(node, node) or len(set(node.inputs)) != len(node.inputs):
            return None
        if node.op.type in SELECTS:
            return self._selected(node)
        if len(node.inputs) != 2:
            return None
        if (number := self._scale(node)) is not None:
            (scores,) = [tensor for tensor in node.inputs if not self._is_scalar(tensor)]
            return Step(node, "scale", number), scores
        if any(map(self._is_scalar, node.inputs)):
            return None
        kind = {"Mul": "times", "Sub": "subtract", **dict.fromkeys(_SUMS, "add")}.get(node.op.type)
        if kind is None:
            return None
        sides = node.inputs[:1] if kind == "subtract" else node.inputs
        found = [tensor for tensor in sides if self._leads_to_product(tensor)]
        if len(found) != 1:
            return None
        (mask,) = [tensor for tensor in node.inputs if tensor is not found[0]]
        return Step(node, kind, 0.0, mask), found[0]

    def _leads_to_product(self, tensor: Tensor, steps: int = _MOST_CHANGES) -> bool:
        """Whether a tensor may be scores."""
        if tensor not in self._makers or not steps:
            return False
        node = self._nodes[self._makers[tensor]]
        if node.op.type in PRODUCTS:
            return True
        if node.op.type not in {"Mul", "Sub", *_SUMS, *_QUOTIENTS, *SELECTS}:
            return False
        return any(self._leads_to_product(other, steps - 1) for other in node.inputs)

    def _selected(self, node: Node) -> tuple[Step, Tensor] | None:
        condition, yes, no = node.inputs
        for kind, scores, value in (("where", yes, no), ("where_not", no, yes)):
            number = self._uniform(value)
            if number is None or self._uniform(scores) is not None:
                continue
            if not _fits(node, condition, scores, value):
                continue
            array = None if self._is_known(value) else value
            return Step(node, kind, number, condition, array), scores
        return None

    def _share(self, node: Node, made: Tensor, softmax: Node) -> Step | None:
        """How an operation changes shares, as dropout does; zeros stay zeros."""
        if not is_alike(node, softmax) or len(node.op.outputs) != 1:
            return None
        if node.op.type in SELECTS:
            found = self._selected(node)
            is_fit = found is not None and found[1] is made and not found[0].number
            return found[0] if found is not None and is_fit else None
        number = self._scale(node)
        if number is None or made not in node.inputs:
            return None
        return Step(node, "scale", number)

    def _scale(self, node: Node) -> float | None:
        """The known number that an operation multiplies with."""
        if node.op.type not in {"Mul", *_QUOTIENTS}:
            return None
        numbers = [tensor for tensor in node.inputs if self._is_scalar(tensor)]
        is_quotient = node.op.type != "Mul"
        if len(numbers) != 1 or (is_quotient and numbers[0] is not node.inputs[1]):
            return None
        value = float(np.asarray(numbers[0].op.attrs["value"]).astype(np.float64))
        if not np.isfinite(value) or (is_quotient and not value):
            return None
        return 1 / value if is_quotient else value

    def _is_known(self, tensor: Tensor) -> bool:
        """Whether an operation of a group gets a tensor's value with its code."""
        return self._is_scalar(tensor)

    def _uniform(self, tensor: Tensor, steps: int = _MOST_STEPS) -> float | None:
        """The one number that all elements of a tensor are; None where the graph does not tell."""
        op = tensor.op
        if tensor in self._feeds or not steps:
            return None
        if op.type == "Const":
            value = op.attrs["value"]
            if not isinstance(value, np.ndarray | np.generic) or not value.size:
                return None
            flat = np.asarray(value).reshape(-1)
            return float(flat[0]) if (flat == flat[0]).all() else None
        if op.type == "Fill":
            return self._uniform(op.inputs[1], steps - 1)
        if op.type in ("ZerosLike", "OnesLike"):
            return float(op.type == "OnesLike")
        if op.type == "Mul":
            sides = [self._uniform(side, steps - 1) for side in op.inputs]
            if any(side is None for side in sides):
                return None
            plain = np.dtype(op.attrs["T"].numpy)
            with np.errstate(all="ignore"):
                return float(np.prod(np.array(sides, plain)))
        return None


def _fits(node: Node, condition: Tensor, scores: Tensor, value: Tensor) -> bool:
    """Whether a choice is one element by element, whose result is as large as scores are."""
    own, told, other = scores._shape, condition._shape, value._shape
    if node.op.type == "Select":  # it repeats nothing, but for a vector that tells of rows
        return own is not None and None not in own and own == told == other
    if other == ():
        return True
    if own is None or other is None or len(other) > len(own):
        return False
    ends = own[len(own) - len(other) :]
    return all(a == 1 or (a == b and a is not None) for a, b in zip(other, ends, strict=True))
