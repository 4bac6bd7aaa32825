"""Which operations are the gradients of an attention: those that `tf.gradients` makes of it.

Somebody may read some of the gradients of Q, K and V only. Where somebody reads what is made on the
way, the operations stay apart; but for those that look at its shape, which follows from others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import has_effects
from tfsession.runtime.fuse_products import is_alike
from tfsession.runtime.match_attention import PRODUCTS, SELECTS, Forward, Forwards, Step
from tfsession.runtime.partition import Node, gives_tuple


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


@dataclass(eq=False)
class _Path:
    """Operations that were met, and of what hands on only, what it hands on."""

    nodes: list[Node] = field(default_factory=list)
    handing: list[Node] = field(default_factory=list)
    same: dict[Tensor, Tensor] = field(default_factory=dict)

    def hand_on(self, nodes: Sequence[Node]) -> None:
        """Note operations of which the last gives what the first one takes."""
        self.handing += nodes
        self.same[nodes[-1].op.outputs[0]] = nodes[0].inputs[0]

    def root(self, tensor: Tensor) -> Tensor:
        while tensor in self.same:
            tensor = self.same[tensor]
        return tensor

    def plain(self, node: Node) -> Node:
        """A node that reads what its inputs hand on."""
        return replace(node, inputs=[self.root(tensor) for tensor in node.inputs])


class Matches(Forwards):
    """The operations of a segment, among which attentions and their gradients are found."""

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
        between = [path.plain(node) for node in path.nodes]
        found = self._products_of(forward, of_shares, inner)
        if not found[0] and not found[1]:
            return None
        made = {node.op.outputs[0]: node for node in found if node is not None}
        parts = {n.op: n for n in (*path.nodes, *path.handing, of_shares, *made.values())}
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
            tensor = self._handed(forward, path, tensor)
            node = self._maker(tensor, forward.softmax)
            found = None if node is None else self._slope_through(path, step, node)
            if node is None or found is None:
                return None
            path.nodes.append(node)
            tensor = found
        tensor = self._handed(forward, path, tensor)
        node = self._maker(tensor, forward.softmax)
        if node is None or node.op.type not in PRODUCTS or not is_alike(node, forward.softmax):
            return None
        attrs = node.op.attrs
        is_fit = not attrs["adj_x"] and attrs["adj_y"]
        return node if is_fit and node.inputs[1] is forward.last.inputs[1] else None

    def _handed(self, forward: Forward, path: _Path, tensor: Tensor) -> Tensor:
        """What was handed on as a tensor."""
        while tensor in self._makers:
            node = self._nodes[self._makers[tensor]]
            found = [node] if self._hands_on(node) else self._summed_by(forward, node)
            if not found:
                break
            path.hand_on(found)
            tensor = found[0].inputs[0]
        return tensor

    def _hands_on(self, node: Node) -> bool:
        """Whether an operation gives the value that it takes, as it is."""
        if node.op.type == "Sum":
            return self._is_empty(node.inputs[1]) and not node.op.attrs["keep_dims"]
        return (
            node.op.type == "Identity"
            and node.kernel.forwards
            and not node.inputs[0].dtype.is_ref
            and node.input_memories[0] is node.memory
        )

    def _is_empty(self, axes: Tensor) -> bool:
        """Whether these are known to be no axes."""
        if axes not in self._makers:
            return False
        node = self._nodes[self._makers[axes]]
        kernel, op = node.kernel, axes.op
        if kernel.function is None or not kernel.constant or op.type == "Const":
            return False
        values = kernel.function(np)
        value = values[op.outputs.index(axes)] if gives_tuple(op.op_def) else values
        return not np.asarray(value).size

    def _summed_by(self, forward: Forward, node: Node) -> list[Node]:
        """A sum and this operation behind it, which bring a gradient to the shape of scores.

        Where all is of that shape, as it must be where there is a kernel, they do nothing. That it
        is, only a step knows. There are none where the graph tells, or where it is another shape.
        """
        if node.op.type != "Reshape" or node.inputs[0] not in self._makers:
            return []
        total = self._nodes[self._makers[node.inputs[0]]]
        if total.op.type != "Sum" or total.memory is not node.memory or total.memory is None:
            return []
        is_spread = total.inputs[1].op.type == "BroadcastGradientArgs"
        shape = node.inputs[1].op
        if not is_spread or total.op.attrs["keep_dims"] or shape.type != "Shape":
            return []
        hidden = {tensor for part in forward.parts[:-1] for tensor in part.op.outputs}
        return [total, node] if shape.inputs[0] in hidden else []

    def _down(self, forward: Forward, path: _Path, tensor: Tensor) -> Tensor | None:
        """The gradient of scores, from that behind all changes."""
        for step in reversed(forward.changes):
            tensor = self._handed_on(forward, path, tensor)
            if step.kind in ("add", "subtract"):
                continue
            for node in self._readers_here(tensor):
                if self._slope_through(path, step, node) is tensor:
                    path.nodes.append(node)
                    (tensor,) = node.op.outputs
                    break
            else:
                return None
        return self._handed_on(forward, path, tensor)

    def _handed_on(self, forward: Forward, path: _Path, tensor: Tensor) -> Tensor:
        """As what a tensor is handed on at last."""
        while True:
            readers = self._readers_here(tensor)
            found = readers if len(readers) == 1 and self._hands_on(readers[0]) else []
            if len(readers) == 1 and not found and readers[0].op.type == "Sum":
                behind = self._readers_here(readers[0].op.outputs[0])
                found = self._summed_by(forward, behind[0]) if len(behind) == 1 else []
            if not found:
                return tensor
            path.hand_on(found)
            (tensor,) = found[-1].op.outputs

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
        if node.op.type not in SELECTS or node.inputs[0] is not step.array:
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
            if node.op.type not in PRODUCTS or not is_alike(node, forward.softmax):
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
        place = self._place_of(forward.last)
        if any(self._waits.get(part.op, place + 1) < place for part in inner):
            return False
        made: Iterable[Tensor] = [forward.last.op.outputs[0]]
        groups = [forward.parts]
        if backward is not None:
            groups.append(list(backward.parts))
            inner += [part for part in backward.parts if part.op.outputs[0] not in backward.made]
            made = [*made, *backward.made]
        own = {part.op for parts in groups for part in parts}
        own |= {node.op for node, _ in self.shapes_of(forward, backward)}
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

    def shapes_of(
        self, forward: Forward, backward: Backward | None
    ) -> list[tuple[Node, list[Node]]]:
        """The operations that look at the shapes of what is made on the way.

        With each are those of the attention that make what it looks at. None where nothing but
        shapes is read: then it is no attention that trains.
        """
        if backward is None:
            return []
        found = []
        for count, part in enumerate(forward.parts[:-1], 1):
            readers = self._readers_here(part.op.outputs[0])
            shapes = [n for n in readers if n.op.type == "Shape" and n.memory is part.memory]
            found += [(node, forward.parts[:count]) for node in shapes]
        return found

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
