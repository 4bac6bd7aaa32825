"""Convolutions of the host with what is done to their results: to each block, while it is cached.

Behind a convolution stand a bias, a sum with a shortcut, an activation, and behind gradients those
of activations: each would go through memory again. Here they are called on a block of the result as
soon as it is written, by the same kernels, so the bits are those of one operation after another. A
norm by statistics that are given is a factor and a shift of each channel: the one goes into the
filters, the other is a bias. That changes how results are rounded, as it does in TensorFlow, whose
remapper does the like.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from math import gcd
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.dtypes import float32
from tfsession.core.rules import affines
from tfsession.devices.spares import Spares
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.blocks import Unfit
from tfsession.runtime.control import stop_closed
from tfsession.runtime.fuse import Group, in_stretches
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

# With fewer elements in its input a convolution is not worth the calls.
_SMALL = 1 << 12
# Numbers in a row of a block: vectors are repeated as often, for which NumPy is fast.
_ROW = 8192

# Operations that add two values.
_SUMS = frozenset({"Add", "AddV2", "BiasAdd", "BiasAddV1"})

# What gives the part of a value that belongs to a block: its index in the whole, its rows.
Cut = Callable[[Any, Any], Any]


class Link(NamedTuple):
    """An operation that changes each element of a block by those in its place.

    `places` are those of its inputs among the values of the group, None the block itself; `is_sum`
    says that it adds the two.
    """

    function: Callable[..., Any]
    places: Sequence[int | None]
    is_sum: bool = False

    def change(self, result: Any, values: Sequence[Any]) -> Callable[[Any, Any], object]:
        """What changes a block of a result; raises Unfit."""
        function = self.function
        cuts = [_cut_of(None if p is None else values[p], result) for p in self.places]
        return lambda index, rows: function(*[cut(index, rows) for cut in cuts], out=rows)


def _cut_of(value: Any, result: Any) -> Cut:
    if value is None:
        return lambda index, rows: rows
    if not value.ndim:
        return lambda index, rows: value
    depth = result.shape[-1]
    if value.shape == (depth,):
        repeated = np.tile(value, _repeats(depth))
        return lambda index, rows: repeated[: rows.shape[1]]
    if value.shape == result.shape and value.flags.c_contiguous:
        return lambda index, rows: value[index].reshape(rows.shape)
    raise Unfit


def _repeats(depth: int) -> int:
    """How many positions a row of a block has at most, a power of two."""
    return 1 << (max(_ROW // depth, 1).bit_length() - 1)


@dataclass(slots=True, eq=False)
class Convolved(Group):
    """A convolution, or what else tells of its blocks, with what is done to its result.

    `parts` begin with it. It `keeps` what it makes of its filters and of a norm: all are constants.
    """

    keeps: bool = False

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Whether an input is large enough."""
        return is_worth_it(self.parts[0].inputs, name)

    def worked(self, places: Mapping[Tensor, int], shift: int) -> tuple[Filters, list[Link]]:
        """Its filters, and what is done to its result; see `work_of`."""
        return work_of(self.parts, self.keeps, places, shift)

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes it, or gives None."""
        places = {tensor: place for place, tensor in enumerate(self.inputs)}
        filters, links = self.worked(places, len(places))

        def compute(*values: Any) -> Any:
            def begin(result: Any) -> Callable[[Any], None]:
                changes = [link.change(result, all_values) for link in links]

                def done(index: Any) -> None:
                    if closing:
                        stop_closed()
                    rows = in_rows(result[index])
                    for change in changes:
                        change(index, rows)

                return done

            try:
                convolve, arguments, *bias = filters.of(values)
                all_values = *values, *bias
                return convolve(*arguments, then=begin)
            except Exception:
                return None  # one after another they find the error again, and whose it is

        return compute


def is_worth_it(inputs: Sequence[Tensor], name: Callable[[Tensor], str]) -> str:
    """The text of whether one of these is large enough."""
    return " or ".join(f"{name(tensor)}.size >= {_SMALL}" for tensor in inputs)


def in_rows(part: Any) -> Any:
    """A block of a result as a matrix whose rows are as long as repeated vectors may be."""
    depth = part.shape[-1]
    return part.reshape(-1, gcd(part.size // depth, _repeats(depth)) * depth)


def work_of(
    parts: Sequence[Node], keeps: bool, places: Mapping[Tensor, int], shift: int
) -> tuple[Filters, list[Link]]:
    """The filters of a convolution, and what is done to its result, the last of `parts`.

    Args:
        parts: the convolution, and what follows it.
        keeps: whether all that its filters are made of are constants.
        places: where the values stand that are taken.
        shift: where that of a norm will stand.
    """
    filters = Filters(parts, places, keeps)
    links = [Link(np.add, (None, shift), True)] if filters.normalizes else []
    made = filters.last.op.outputs[0]
    for node in parts[filters.count :]:
        link = _link(node, made, places)
        assert link is not None
        links.append(link)
        made = node.op.outputs[0]
    return filters, links


class Filters:
    """The filters of a convolution, with the norm that follows it, and a bias between the two.

    Attributes:
        count: how many operations go into them.
        last: the last of these.
        normalizes: whether one of them is a norm.
    """

    def __init__(self, parts: Sequence[Node], places: Mapping[Tensor, int], keeps: bool) -> None:
        conv = parts[0]
        norms = [i for i, node in enumerate(parts) if node.op.type in affines]
        self.normalizes = bool(norms)
        self.count = norms[0] + 1 if norms else 1
        self.last = parts[self.count - 1]
        own = parts[1 : self.count]
        self._taken = [places[tensor] for tensor in conv.inputs]
        self._vectors = [places[t] for node in own for t in node.inputs if t in places]
        self._tells = _affine_of(self.last.op) if norms else None
        self._known: tuple[Any, Any] | None = None
        self._keeps = keeps
        kernel = conv.kernel
        if kernel.kept is not None and norms:
            # What it keeps of its filters is not of these.
            kernel = kernel.keeping() if keeps else kernel.keeping_nothing()
        self.kept = kernel.kept
        self._convolve = kernel.bind(np, conv.op.op_def, conv.op.attrs)

    def of(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """What convolves, what it takes, and a bias if there is a norm; raises Unfit."""
        if not self.normalizes:
            return self._convolve, [values[place] for place in self._taken]
        filters, shift = self.made(values)
        return self._convolve, (values[self._taken[0]], filters), shift

    def made(self, values: Sequence[Any]) -> tuple[Any, Any]:
        """The filters, and the bias if there is a norm, or None; raises Unfit."""
        w = values[self._taken[1]]
        if not self.normalizes:
            return w, None
        return self._known or self._normalized(w, values)

    def _normalized(self, w: Any, values: Sequence[Any]) -> tuple[Any, Any]:
        """The filters and the bias with which a convolution is normalized."""
        *bias, scale, offset, mean, variance = [values[place] for place in self._vectors]
        vectors = *bias, scale, offset, mean, variance
        if w.ndim < 2 or any(vector.shape != w.shape[-1:] for vector in vectors):
            raise Unfit
        assert self._tells is not None
        factor, shift = self._tells(scale, offset, mean, variance)
        filters = w * factor
        for vector in bias:
            shift = shift + vector * factor
        if not (np.isfinite(filters).all() and np.isfinite(shift).all()):
            raise Unfit
        if self._keeps:
            self._known = filters, shift
        return filters, shift


def _affine_of(op: Operation) -> Any:
    """What tells the factor and the shift of channels that an operation makes; None of others."""
    rule = affines.get(op.type)
    if rule is None:
        return None
    code = rule.__code__
    return rule(np, **{name: op.attrs[name] for name in code.co_varnames[1 : code.co_argcount]})


def _link(node: Node, made: Tensor, places: Mapping[Tensor, int]) -> Link | None:
    """How an operation changes a block of `made`, which it reads; None where it does not."""
    kernel, op = node.kernel, node.op
    if not kernel.elementwise or not kernel.takes_out or len(op.outputs) != 1:
        return None
    if (kernel.aliases and len(node.inputs) < 2) or not _is_alike(node):
        return None
    if op.attrs.get("data_format", b"NHWC") != b"NHWC":
        return None
    if kernel.elementwise == "bias" and node.inputs[1] is made:
        return None
    function = kernel.bind(np, op.op_def, op.attrs)
    taken = [None if t is made else places.get(t, -1) for t in node.inputs]
    # Of two that are not numbers the first is the sum.
    is_sum = op.type in _SUMS and len(taken) == 2 and taken[0] is None is not taken[1]
    return Link(function, taken, is_sum)


def _is_alike(node: Node) -> bool:
    """Whether an operation of the host computes in float32."""
    tensors = *node.inputs, node.op.outputs[0]
    is_here = node.memory is None and not node.arrival
    return is_here and all(t.dtype.base_dtype is float32 for t in tensors)


# --- what belongs together ------------------------------------------------------------------------


def fused_convolutions(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """The operations of a segment of the host, with groups in the place of such convolutions.

    Args:
        nodes: in an order in which they can run.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    if not any(is_convolution(node) for node in nodes):
        return list(nodes)
    return in_stretches(_Stretch, nodes, feeds, is_needed)


def is_convolution(node: Node) -> bool:
    """Whether an operation of the host tells of the blocks of its result."""
    if not node.kernel.takes_then or node.memory is not None:
        return False
    return node.allocator is None or node.allocator.ledger is None  # what it makes is charged


class _Stretch(Neighbours):
    """Operations among which there are convolutions."""

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs, where their last one stood."""
        groups: dict[int, Node] = {}
        taken: set[int] = set()
        for node in self._nodes:
            if is_convolution(node):
                chain = self._chain_of(node, taken)
                if len(chain) > 1:
                    places = [self._places[part.op] for part in chain]
                    taken.update(places)
                    groups[places[-1]] = self._group(chain)
        return self._with_groups(groups, taken)

    def _group(self, chain: Sequence[Node]) -> Node:
        made = {part.op.outputs[0] for part in chain}
        inputs = dict.fromkeys(t for part in chain for t in part.inputs if t not in made)
        group = Convolved.of(chain, list(inputs), [chain[-1].op.outputs[0]])
        vectors = [t for part in chain if part.op.type in affines for t in part.inputs[1:]]
        vectors += [t for part in chain[1:2] if _is_bias(part) for t in part.inputs[1:]]
        group.keeps = chain[0].kernel.kept is not None and all(map(self._is_constant, vectors))
        return group

    def _is_constant(self, tensor: Tensor) -> bool:
        return tensor.op.type == "Const" and tensor not in self._feeds

    def _chain_of(self, conv: Node, taken: Container[int]) -> list[Node]:
        """A convolution, and what is done to its result and to nothing else, none of it taken."""
        chain = [conv]
        while (reader := self._reader_of(chain[-1])) is not None:
            if reader.allocator is not conv.allocator or self._places[reader.op] in taken:
                break
            if not self._joins(chain, reader):
                break
            if any(self._is_read(tensor) for tensor in reader.op.outputs[1:]):
                break
            if reader.op.outputs[0] in self._feeds or not self._is_read(reader.op.outputs[0]):
                break
            chain.append(reader)
        return chain

    @staticmethod
    def _joins(chain: Sequence[Node], reader: Node) -> bool:
        """Whether a block of what a chain makes may be changed by an operation."""
        made = chain[-1].op.outputs[0]
        if _link(reader, made, {}) is not None:
            return True
        if (
            chain[0].op.type != "Conv2D"
            or len(chain) > 2
            or (len(chain) == 2 and not _is_bias(chain[1]))
        ):
            return False
        is_first = reader.inputs[0] is made and made not in reader.inputs[1:]
        return is_first and _is_alike(reader) and _affine_of(reader.op) is not None

    def _is_read(self, tensor: Tensor) -> bool:
        return tensor in self._readers or tensor in self._is_needed

    def _reader_of(self, node: Node) -> Node | None:
        """The one operation of this stretch that reads what an operation makes."""
        made = node.op.outputs[0]
        readers = {id(reader): reader for reader in self._readers.get(made, ())}
        if len(readers) != 1 or made in self._is_needed or made in self._feeds:
            return None
        (reader,) = readers.values()
        return reader if reader.op in self._places and node.op not in self._awaited else None


def _is_bias(node: Node) -> bool:
    return node.op.type in ("BiasAdd", "BiasAddV1")
