"""Attention on a GPU: softmax(scores) V, as one kernel where that is worth it; and its gradients.

What belongs together is found in `match_attention` and `match_attention_gradient`. In a step that
trains, two groups share what gradients read of the forward operations: where the forward group has
written no probabilities, what it has kept of each row stands in their place, and the gradients'
group makes them again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tfsession.core.op_def import ArgDef
from tfsession.core.rules import fusers
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.spares import Spares
from tfsession.devices.transfer import Memory
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import OUTPUT, Group
from tfsession.runtime.fuse_device import OnDevice
from tfsession.runtime.match_attention import Forward, is_softmax
from tfsession.runtime.match_attention_gradient import Backward, Matches
from tfsession.runtime.partition import Node

Function = Callable[..., Any]


@dataclass(slots=True, eq=False)
class Attention(OnDevice):
    """An attention; its outputs are the result and what gradients read of what is made before."""

    forward: Forward | None = None

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Function:
        """What computes it by one kernel, or by two products and what stands between them.

        It gives None where the operations shall run one after another.
        """
        assert self.forward is not None
        own, (_, *others) = self.forward, self.op.outputs
        device: Any = self.memory
        keeps = bool(others)
        places = [self.inputs.index(tensor) for tensor in (*own.taken, *own.values)]
        taken = len(own.taken)
        at_once = fusers["attention"](
            device.xp, own.told_changes, own.told_shares, own.is_transposed, keeps
        )
        in_turn = _in_turn(own, fetched, closing, spares)

        def attention(*values: Any) -> Any:
            arrays = [values[place] for place in places]
            found = at_once(*arrays[:taken])
            if found is not None:
                return (found[0], *[found[1]] * len(others)) if keeps else found
            try:
                result, known = in_turn(*arrays)
            except CaptureRefused:
                raise
            except Exception:
                return None  # operations one after another tell whose error it is
            return (result, *[known[tensor] for tensor in others]) if keeps else result

        return attention


def _in_turn(own: Forward, *told: Any) -> Function:
    """The two products, with one group of operations between them.

    It gives the result, and what of it stands between them by its tensor.
    """
    softmax = _shares_of(own, *told)
    multiply = _bound(own.last)

    def computed(q: Any, k: Any, v: Any, *arrays: Any) -> Any:
        known = softmax(q, k, *arrays)
        return multiply(known[own.shared], v), known

    return computed


def _shares_of(own: Forward, *told: Any) -> Function:
    """What gives probabilities, and what is multiplied with V, by their tensors."""
    scores = own.first.op.outputs[0]
    outputs = list(dict.fromkeys([own.powers, own.shared]))
    parts = [*own.changed, own.softmax, *own.dropped]
    read = [*own.masks, *own.values]
    group = OnDevice.of(parts, [scores, *dict.fromkeys(read)], outputs).computed(*told)
    multiply = _bound(own.first)

    def computed(q: Any, k: Any, *arrays: Any) -> dict[Tensor, Any]:
        given = dict(zip(read, arrays, strict=True))
        found = group(multiply(q, k), *given.values())
        if found is None:
            raise _Refused
        return dict(zip(outputs, found if len(outputs) > 1 else [found], strict=True))

    return computed


class _Refused(Exception):
    """A group has no code for what it was given."""

    def __init__(self) -> None:
        super().__init__("the operations of an attention cannot be computed together")


def _bound(node: Node) -> Function:
    memory: Any = node.memory
    return node.kernel.bind(memory.xp, node.op.op_def, node.op.attrs)


@dataclass(slots=True, eq=False)
class AttentionGradient(OnDevice):
    """The gradients of an attention, as far as somebody reads them."""

    backward: Backward | None = None

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Function:
        """What computes them by two kernels, or by products and what stands between them.

        It gives None where the operations shall run one after another.
        """
        assert self.backward is not None
        own = self.backward
        forward, device = own.forward, self.memory
        xp = device.xp  # type: ignore[union-attr]
        at_once = fusers["attention_gradient"](
            xp, forward.told_changes, forward.told_shares, forward.is_transposed
        )
        in_turn = _gradients_in_turn(own, fetched, closing, spares)
        shares = _shares_of(forward, fetched, closing, spares)
        wanted = self.op.outputs
        places = {tensor: place for place, tensor in enumerate(self.inputs)}
        taken = [places[tensor] for tensor in forward.taken]
        values_of = [places[tensor] for tensor in forward.values]
        result, slope = places[forward.last.op.outputs[0]], places[own.slope]
        powers, shared = places[forward.powers], places[forward.shared]

        def differentiated(*values: Any) -> Any:
            q, k, v, *masks = [values[place] for place in taken]
            kept, after = values[powers], values[slope]
            if kept.dtype.kind == "c":  # the forward group has made no probabilities
                found = at_once(q, k, v, values[result], after, kept, *masks)
                if found is None:
                    known = shares(q, k, *masks, *[values[place] for place in values_of])
                    made = known[forward.powers], known[forward.shared]
                    gradients = in_turn(q, k, v, after, *made, *masks)
                else:
                    gradients = dict(zip(own.products, found, strict=True))
            else:
                try:
                    gradients = in_turn(q, k, v, after, kept, values[shared], *masks)
                except CaptureRefused:
                    raise
                except Exception:
                    return None  # operations one after another tell whose error it is
            made = tuple([gradients[tensor] for tensor in wanted])
            return made if len(made) > 1 else made[0]

        return differentiated


def _gradients_in_turn(own: Backward, *told: Any) -> Function:
    """The products, and one group of the operations between them."""
    forward = own.forward
    shares = own.of_shares.op.outputs[0]
    arrays = list(dict.fromkeys(forward.masks))
    group = OnDevice.of(own.between, [shares, forward.powers, *arrays], [own.inner]).computed(*told)
    products = {tensor: _bound(node) for tensor, node in own.made.items()}
    first = _bound(own.of_shares)

    def computed(q: Any, k: Any, v: Any, slope: Any, powers: Any, shared: Any, *masks: Any) -> Any:
        rows, columns = q.shape[-2], k.shape[-1 if forward.is_transposed else -2]
        batch = np.broadcast_shapes(q.shape[:-2], k.shape[:-2])
        if powers.shape != (*batch, rows, columns) or v.shape[:-2] != batch:
            raise _Refused  # gradients are summed up where what they are of was spread
        given = dict(zip(forward.masks, masks, strict=True))
        inner = group(first(slope, v), powers, *given.values())
        if inner is None:
            raise _Refused
        sides = {own.inner: inner, own.slope: slope, forward.shared: shared}
        sides |= dict(zip(forward.taken[:2], (q, k), strict=True))
        found = {}
        for tensor, multiply in products.items():
            found[tensor] = multiply(*[sides[t] for t in own.sides[tensor]])
        return found

    return computed


@dataclass(slots=True, eq=False)
class ShapeOfScores(OnDevice):
    """What looks at the shape of scores: it follows from those of Q and K, and of masks."""

    read: Sequence[Tensor] = ()

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Function:
        """What gives the shape; None where these do not fit."""
        node = self.parts[-1]
        tell = node.kernel.bind(np, node.op.op_def, node.op.attrs)
        places = [self.inputs.index(tensor) for tensor in self.read]
        is_transposed = not self.parts[0].op.attrs["adj_y"]

        def shape(*values: Any) -> Any:
            q, k, *masks = [values[place].shape for place in places]
            try:
                product = (
                    *np.broadcast_shapes(q[:-2], k[:-2]),
                    q[-2],
                    k[-1 if is_transposed else -2],
                )
                whole = np.broadcast_shapes(product, *masks)
            except (ValueError, IndexError):
                return None  # operations one after another tell whose error it is
            return tell(np.broadcast_to(np.int8(0), whole))

        return shape


def fused_attention(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """As `fuse.fused`, for the attentions of a segment of a GPU, and for their gradients."""
    if not any(is_softmax(node) for node in nodes):
        return list(nodes)
    readers: dict[Tensor, list[Node]] = {}
    for node in nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    return _Segment(nodes, feeds, is_needed, readers).fused()


class _Segment(Matches):
    """Operations among which there are attentions."""

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs.

        An attention stands where its last operation stood, its gradients where their first one did.
        """
        groups: dict[int, Node] = {}
        taken: set[int] = set()
        moved: dict[int, int] = {}
        for node in self._nodes:
            forward = self.around(node) if is_softmax(node) else None
            if forward is None:
                continue
            backward = self.behind(forward)
            found = [(forward.parts, -1, self._attention(forward, backward))]
            if backward is not None:
                found.append((backward.parts, 0, self._gradient(backward)))
            places = [self._places[part.op] for parts, _, _ in found for part in parts]
            early = [] if backward is None else self.needed_before(backward)
            if early is None or not taken.isdisjoint([*places, *early]) or moved.keys() & places:
                continue
            if not self.is_whole(forward, backward):
                continue
            taken.update(places)
            for parts, end, group in found:
                groups[self._places[parts[end].op]] = group
            for node, parts in self.shapes_of(forward, backward):
                groups[self._places[node.op]] = self._shape(forward, node, parts)
            for index in early:
                moved[index] = min(moved.get(index, len(self._nodes)), places[len(forward.parts)])
        return self._in_order(groups, taken, moved)

    def _in_order(
        self, groups: Mapping[int, Node], taken: Container[int], moved: Mapping[int, int]
    ) -> list[Node]:
        """The operations, with groups at their places, and before these what was moved there."""
        before: dict[int, list[Node]] = {}
        for index in sorted(moved):
            node = groups.get(index, self._nodes[index])
            before.setdefault(moved[index], []).append(node)
        found: list[Node] = []
        for index, node in enumerate(self._nodes):
            if index in moved:
                continue
            if index in groups:
                found += [*before.get(index, ()), groups[index]]
            elif index not in taken:
                found.append(node)
        return found

    def _attention(self, forward: Forward, backward: Backward | None) -> Group:
        """The group of an attention, which gives what its gradients read, too."""
        outputs = [forward.last.op.outputs[0]]
        if backward is not None:
            outputs += dict.fromkeys([forward.powers, forward.shared])
        group = Attention.of(forward.parts, self._taken(forward.parts), outputs)
        return replace(group, forward=forward)

    def _gradient(self, backward: Backward) -> Group:
        forward = backward.forward
        inputs = dict.fromkeys([*self._taken(backward.parts), *forward.taken, *forward.values])
        inputs |= dict.fromkeys([forward.last.op.outputs[0], forward.powers, forward.shared])
        memories: dict[Tensor, tuple[ArgDef, Memory]] = {}
        for part in backward.parts:
            rows = zip(part.inputs, part.input_memories, strict=True)
            memories |= {tensor: (OUTPUT, memory) for tensor, memory in rows}
        own = backward.parts[-1].memory
        memories = {tensor: memories.get(tensor, (OUTPUT, own)) for tensor in inputs}
        made = list(backward.made)
        group = AttentionGradient.of(backward.parts, list(inputs), made, taken=memories)
        return replace(group, backward=backward)

    def _shape(self, forward: Forward, node: Node, parts: Sequence[Node]) -> Group:
        """The group of an operation that looks at a shape, of what need not be made for that."""
        group = ShapeOfScores.of([*parts, node], self._taken([*parts, node]), node.op.outputs)
        changes = [step.array for step in forward.changes if step.node in parts]
        read = [*forward.first.inputs, *[array for array in changes if array is not None]]
        return replace(group, read=read, output_memories=node.output_memories)

    def _taken(self, parts: Sequence[Node]) -> list[Tensor]:
        """What operations take of others, but for numbers that are known."""
        made = {tensor for part in parts for tensor in part.op.outputs}
        inputs = [t for part in parts for t in part.inputs if t not in made]
        return [t for t in dict.fromkeys(inputs) if not self._is_known(t)]
