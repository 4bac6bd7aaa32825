"""Which operations are an attention, and which are its gradients.

An attention is known by its operations: a product of matrices in batches; what scales its result,
adds a mask, multiplies with one, or puts a number where a condition tells; softmax; dropout; and a
product of that. Its gradients are what `tf.gradients` makes of these. Where somebody else reads
what is made on the way, the operations stay apart.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from tfsession.core.dtypes import bfloat16, float16, float32
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import has_effects
from tfsession.runtime.fuse_products import is_alike
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

_TYPES = frozenset({float32, float16, bfloat16})
_PRODUCTS = frozenset({"BatchMatMul", "BatchMatMulV2"})
_SUMS = frozenset({"Add", "AddV2"})
_QUOTIENTS = frozenset({"Div", "RealDiv"})
_SELECTS = frozenset({"Select", "SelectV2"})
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


@dataclass(eq=False)
class Backward:
    """The operations of an attention's gradients.

    Attributes:
        parts: all of them, in their order.
        of_shares: the product that is the gradient for what is multiplied with V.
        between: what makes the gradient for scores of it, without what only hands on.
        inner: the gradient for scores.
        slope: the gradient of the result.
        products: the gradients of Q, K and V; None where nobody reads one.
        made: the operations that give these.
        sides: what they multiply.
    """

    forward: Forward
    parts: list[Node]
    of_shares: Node
    between: Sequence[Node]
    inner: Tensor
    slope: Tensor
    products: Sequence[Tensor | None]
    made: Mapping[Tensor, Node]
    sides: Mapping[Tensor, Sequence[Tensor]]


def is_softmax(node: Node) -> bool:
    """Whether an attention may be around a node."""
    op = node.op
    return op.type == "Softmax" and node.memory is not None and op.attrs.get("T") in _TYPES


@dataclass(eq=False)
class _Path:
    """Operations that were met, and of what hands on only, what it hands on."""

    nodes: list[Node] = field(default_factory=list)
    same: dict[Tensor, Tensor] = field(default_factory=dict)

    def root(self, tensor: Tensor) -> Tensor:
        while tensor in self.same:
            tensor = self.same[tensor]
        return tensor

    def plain(self, node: Node) -> Node:
        """A node that reads what its inputs hand on."""
        return replace(node, inputs=[self.root(tensor) for tensor in node.inputs])


class Matches(Neighbours):
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

    # --- forwards -------------------------------------------------------------------------------

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
            if node.op.type in _PRODUCTS:
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
            node.op.type in _PRODUCTS
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
        if node.op.type in _SELECTS:
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
        if node.op.type in _PRODUCTS:
            return True
        if node.op.type not in {"Mul", "Sub", *_SUMS, *_QUOTIENTS, *_SELECTS}:
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
        if node.op.type in _SELECTS:
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

    # --- backwards ------------------------------------------------------------------------------

    def behind(self, forward: Forward) -> Backward | None:
        """The operations of the gradients; None where nobody reads all of them alike."""
        path = _Path()
        readers = [n for n in self._readers.get(forward.powers, ()) if n.op.type == "Mul"]
        own = {part.op for part in forward.parts}
        pair = [node for node in readers if node.op not in own and self._is_here(node)]
        if len(pair) != 2:
            return None
        for weighed, last in (pair, pair[::-1]):
            centred = self._centred(forward, weighed, last)
            if centred is not None:
                break
        else:
            return None
        path.nodes += [weighed, *centred, last]
        slope = self._other(weighed, forward.powers)
        of_shares = self._up(forward, path, slope)
        inner = None if of_shares is None else self._down(forward, path, last.op.outputs[0])
        if of_shares is None or inner is None:
            return None
        between = [path.plain(node) for node in path.nodes if not _hands_on(node)]
        found = self._products_of(forward, of_shares, inner)
        if not found[0] and not found[1]:
            return None
        made = {node.op.outputs[0]: node for node in found if node is not None}
        parts = {node.op: node for node in (*path.nodes, of_shares, *made.values())}
        return Backward(
            forward,
            sorted(parts.values(), key=self._place_of),
            of_shares,
            sorted(between, key=self._place_of),
            path.root(inner),
            of_shares.inputs[0],
            [None if node is None else node.op.outputs[0] for node in found],
            made,
            {t: [path.root(side) for side in node.inputs] for t, node in made.items()},
        )

    def _place_of(self, node: Node) -> int:
        return self._places[node.op]

    def _other(self, node: Node, tensor: Tensor) -> Tensor:
        one, other = node.inputs
        return other if one is tensor else one

    def _readers_here(self, tensor: Tensor) -> list[Node]:
        found = {node.op: node for node in self._readers.get(tensor, ()) if self._is_here(node)}
        return list(found.values())

    def _centred(self, forward: Forward, weighed: Node, last: Node) -> list[Node] | None:
        """The sum over a row, and the difference to it, of softmax's gradient."""
        slope, found = self._other(weighed, forward.powers), self._other(last, forward.powers)
        difference = self._maker(found, forward.softmax)
        if difference is None or difference.op.type != "Sub" or difference.inputs[0] is not slope:
            return None
        total = self._maker(difference.inputs[1], forward.softmax)
        if total is None or total.op.type != "Sum" or not total.op.attrs["keep_dims"]:
            return None
        axes = total.inputs[1]
        if axes.op.type != "Const" or axes in self._feeds:
            return None
        rank = len(forward.powers._shape) if forward.powers._shape is not None else 0
        is_last = np.asarray(axes.op.attrs["value"]).reshape(-1).tolist() in ([-1], [rank - 1])
        nodes = [weighed, difference, last]
        is_one = total.inputs[0] is weighed.op.outputs[0]
        is_one = is_one and all(is_alike(node, forward.softmax) for node in nodes)
        return [total, difference] if is_last and is_one else None

    def _up(self, forward: Forward, path: _Path, tensor: Tensor) -> Node | None:
        """What gives the gradient of what V was multiplied with, from that of the probabilities."""
        for step in forward.shares:
            tensor = self._handed(path, tensor)
            node = self._maker(tensor, forward.softmax)
            found = None if node is None else self._slope_through(path, step, node)
            if node is None or found is None:
                return None
            path.nodes.append(node)
            tensor = found
        tensor = self._handed(path, tensor)
        node = self._maker(tensor, forward.softmax)
        if node is None or node.op.type not in _PRODUCTS or not is_alike(node, forward.softmax):
            return None
        attrs = node.op.attrs
        is_fit = not attrs["adj_x"] and attrs["adj_y"]
        return node if is_fit and node.inputs[1] is forward.last.inputs[1] else None

    def _handed(self, path: _Path, tensor: Tensor) -> Tensor:
        """What was handed on as a tensor."""
        while tensor in self._makers:
            node = self._nodes[self._makers[tensor]]
            if not _hands_on(node):
                break
            path.nodes.append(node)
            path.same[tensor] = node.inputs[0]
            tensor = node.inputs[0]
        return tensor

    def _down(self, forward: Forward, path: _Path, tensor: Tensor) -> Tensor | None:
        """The gradient of scores, from that behind all changes."""
        for step in reversed(forward.changes):
            tensor = self._handed_on(path, tensor)
            if step.kind in ("add", "subtract"):
                continue
            for node in self._readers_here(tensor):
                if self._slope_through(path, step, node) is tensor:
                    path.nodes.append(node)
                    (tensor,) = node.op.outputs
                    break
            else:
                return None
        return self._handed_on(path, tensor)

    def _handed_on(self, path: _Path, tensor: Tensor) -> Tensor:
        """As what a tensor is handed on at last."""
        while True:
            readers = self._readers_here(tensor)
            if len(readers) != 1 or not _hands_on(readers[0]):
                return tensor
            path.nodes.append(readers[0])
            (made,) = readers[0].op.outputs
            path.same[made] = tensor
            tensor = made

    def _slope_through(self, path: _Path, step: Step, node: Node) -> Tensor | None:
        """The gradient behind a change, of which a node makes the one before; None of others."""
        if not is_alike(node, node) or len(node.op.outputs) != 1:
            return None
        if step.kind == "scale":
            if node.op.type != step.node.op.type or self._scale(node) != step.number:
                return None
            return next((t for t in node.inputs if not self._is_scalar(t)), None)
        if step.kind == "times":
            is_one = node.op.type == "Mul" and step.array in node.inputs
            return self._other(node, step.array) if is_one and step.array is not None else None
        if node.op.type not in _SELECTS or node.inputs[0] is not step.array:
            return None
        order = node.inputs[1:] if step.kind == "where" else node.inputs[:0:-1]
        slope, zeros = order
        if self._uniform(zeros) != 0:
            return None
        if zeros.op.type == "ZerosLike" and zeros in self._makers:
            path.nodes.append(self._nodes[self._makers[zeros]])
        elif not self._is_known(zeros):
            return None
        return slope

    def _products_of(
        self, forward: Forward, of_shares: Node, inner: Tensor
    ) -> tuple[Node | None, Node | None, Node | None]:
        """What gives the gradients of Q, of K and of V, of those that somebody reads."""
        q, k = forward.first.inputs
        adj_y = forward.first.op.attrs["adj_y"]
        of_k = ((inner, q), True, False) if adj_y else ((q, inner), True, False)
        return (
            self._product(forward, ((inner, k), False, not adj_y)),
            self._product(forward, of_k),
            self._product(forward, ((forward.shared, of_shares.inputs[0]), True, False)),
        )

    def _product(
        self, forward: Forward, wanted: tuple[tuple[Tensor, Tensor], bool, bool]
    ) -> Node | None:
        sides, adj_x, adj_y = wanted
        for node in self._readers_here(sides[0]):
            if node.op.type not in _PRODUCTS or not is_alike(node, forward.softmax):
                continue
            attrs = node.op.attrs
            is_fit = (attrs["adj_x"], attrs["adj_y"]) == (adj_x, adj_y)
            if is_fit and all(a is b for a, b in zip(node.inputs, sides, strict=True)):
                return node
        return None

    # --- whether it may be one ------------------------------------------------------------------

    def is_whole(self, forward: Forward, backward: Backward | None) -> bool:
        """Whether nobody else reads what is made on the way, and nothing with effects is passed."""
        inner = [part for part in forward.parts if part is not forward.last]
        if any(part.op in self._awaited for part in inner):
            return False
        made: Iterable[Tensor] = [forward.last.op.outputs[0]]
        groups = [forward.parts]
        if backward is not None:
            groups.append(list(backward.parts))
            inner += [part for part in backward.parts if part.op.outputs[0] not in backward.made]
            made = [*made, *backward.made]
        own = {part.op for parts in groups for part in parts}
        for part in inner:
            for tensor in part.op.outputs:
                readers = self._readers.get(tensor, ())
                if tensor in self._is_needed or any(node.op not in own for node in readers):
                    return False
        if any(tensor in self._feeds for part in inner for tensor in part.op.outputs):
            return False
        if any(tensor in self._feeds for tensor in made):
            return False
        epochs = [{self._epochs[self._place_of(part)] for part in parts} for parts in groups]
        return all(len(found) == 1 for found in epochs)

    def needed_before(self, backward: Backward) -> list[int] | None:
        """The places of operations behind the first of the gradients' that these need.

        None where one cannot be moved before it.
        """
        place = self._place_of(backward.parts[0])
        if place < self._place_of(backward.forward.last):
            return None
        own = {part.op for part in backward.parts}
        found: set[int] = set()
        waiting = [t for p in backward.parts for t in p.inputs if t.op not in own]
        while waiting:
            index = self._makers.get(waiting.pop(), -1)
            if index < place or index in found:
                continue
            node = self._nodes[index]
            late = [op for op in node.controls if self._places.get(op, -1) >= place]
            if node.op in own or has_effects(node) or late:
                return None
            found.add(index)
            waiting += node.inputs
        return sorted(found)


def _hands_on(node: Node) -> bool:
    """Whether an operation gives the value that it takes, as it is."""
    return (
        node.op.type == "Identity"
        and node.kernel.forwards
        and not node.inputs[0].dtype.is_ref
        and node.input_memories[0] is node.memory
    )


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
