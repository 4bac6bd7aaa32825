"""Which operations are computed together: element-wise ones, and the reductions behind them.

A group stands in the list of a segment's operations as one, where its last operation stood. No
operation changes its place beside one that has effects, or that reads what others change.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from itertools import chain
from math import prod
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, Self, cast

import numpy as np

from tfsession.core.dtypes import DType, resource, variant
from tfsession.core.op_def import ArgDef
from tfsession.core.rules import Kernel
from tfsession.core.shape import Shape
from tfsession.devices.native import is_there
from tfsession.devices.spares import Spares
from tfsession.devices.transfer import Memory
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.blocks import Blocks, Reduction, Step
from tfsession.runtime.partition import Node, gives_tuple, input_arguments

# Below so many elements nothing is computed in blocks: to wake a thread costs as much.
SMALL = 1 << 15
# Below so many they are not computed together by compiled code either.
_SMALL_FOR_NATIVE = 1 << 10
# A group of less work is not worth it, counted in additions of numbers that are in the cache.
_WORTH = 1_500_000
# An addition in memory beyond the cache; a function like `exp`; a kernel of several steps.
_ARRAY, _DEAR, _KERNEL = 2, 5, 5
_CHEAP = {
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "negative", "absolute"),
    *("square", "sqrt", "reciprocal", "less", "less_equal", "greater", "greater_equal", "equal"),
    *("not_equal", "logical_and", "logical_or", "logical_not"),
}
# These look at the shapes of their inputs alone.
_OF_SHAPES = {"Shape", "ShapeN", "Size", "Rank"}
OUTPUT = ArgDef.make(name="output")


class Definition(NamedTuple):
    """The definition of what stands for an operation, for who writes its line."""

    inputs: tuple[ArgDef, ...]
    outputs: tuple[ArgDef, ...]
    is_plain: bool = True
    is_stateful: bool = False
    attrs: Mapping[str, Any] = MappingProxyType({})

    def __hash__(self) -> int:
        return hash((self.inputs, self.outputs))

    @property
    def has_single_output(self) -> bool:
        """Whether there is one output."""
        return len(self.outputs) == 1


@dataclass(slots=True, eq=False)
class Stand:
    """What stands for an operation, a group for example, for who writes its line."""

    name: str
    type: str
    node_def: Any
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    op_def: Definition

    @property
    def attrs(self) -> Mapping[str, Any]:
        """None."""
        return self.op_def.attrs


@dataclass(slots=True, eq=False)
class Group(Node):
    """Operations in one place; `parts` are in an order in which they can run.

    Of the outputs in `hollow` only the shape is looked at.
    """

    parts: Sequence[Node] = ()
    hollow: Collection[Tensor] = ()

    @classmethod
    def of(
        cls,
        parts: Sequence[Node],
        inputs: Sequence[Tensor],
        outputs: Sequence[Tensor],
        hollow: Collection[Tensor] = (),
        taken: Mapping[Tensor, tuple[ArgDef, Memory]] | None = None,
    ) -> Self:
        """The group of these, which is read and waited for as its last operation was.

        `taken` tells how inputs are taken, and where they lie, if not as values in its memory.
        """
        last = parts[-1]
        how = [taken[tensor] if taken else (OUTPUT, last.memory) for tensor in inputs]
        definition = Definition(tuple([arg for arg, _ in how]), (OUTPUT,) * len(outputs))
        stand = Stand(last.op.name, last.op.type, last.op.node_def, inputs, outputs, definition)
        return cls(
            cast(Operation, stand),
            last.device,
            _KERNEL_OF_GROUPS,
            last.memory,
            inputs,
            (),
            tuple([memory for _, memory in how]),
            (last.memory,) * len(outputs),
            last.waits,
            parts=parts,
            hollow=hollow,
        )

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """The text of when it is worth it; `name` is what a value is called there."""
        raise NotImplementedError

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What gives the outputs for the inputs, one or a tuple; or None where it cannot."""
        raise NotImplementedError


def leaves(node: Node) -> list[Node]:
    """A node; of a group its operations, and those of groups in it."""
    if not isinstance(node, Group):
        return [node]
    return [leaf for part in node.parts for leaf in leaves(part)]


@dataclass(slots=True, eq=False)
class Fused(Group):
    """Element-wise operations, computed in blocks; `axes` are the known ones by their tensors."""

    axes: Mapping[Tensor, Any] = field(default_factory=dict)

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Whether an input is large."""
        return " or ".join(f"{name(t)}.size > {self.least}" for t in self.unsure) or "False"

    @property
    def least(self) -> int:
        """The elements of an input from which on it may be worth it."""
        return self.least_in_blocks if len(self.parts) == 1 else _small()

    @property
    def least_in_blocks(self) -> int:
        """The elements of an input from which on blocks are worth it."""
        arrays = len(self.unsure) + len(self.op.outputs)
        work = sum(map(_work, self.parts)) + _ARRAY * arrays
        return max(SMALL, _WORTH // work)

    @property
    def unsure(self) -> list[Tensor]:
        """The inputs that may be large, as far as the graph can tell."""
        return [tensor for tensor in self.inputs if not _is_small(tensor)]

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Blocks:
        """What computes it in blocks; see Blocks."""
        numbers = {tensor: number for number, tensor in enumerate(self.inputs)}
        dtypes = [_dtype(tensor) for tensor in self.inputs]
        steps = []
        for node in self.parts:
            steps.append(_step(node, numbers, self.axes))
            numbers[node.op.outputs[0]] = len(dtypes)
            dtypes.append(_dtype(node.op.outputs[0]))
        results = [numbers[tensor] for tensor in self.op.outputs]
        return Blocks(
            steps,
            dtypes,
            results,
            fetched={numbers[tensor] for tensor in self.op.outputs if tensor in fetched},
            hollow={numbers[tensor] for tensor in self.hollow},
            closing=closing,
            spares=spares,
            ledger=None if self.allocator is None else cast(Any, self.allocator.ledger),
            least=self.least_in_blocks,
        )


def _dtype(tensor: Tensor) -> np.dtype[Any]:
    return np.dtype(tensor.dtype.base_dtype.numpy)


def _work(node: Node) -> int:
    ufunc = node.kernel.ufunc
    if ufunc is None:
        return 1 if node.kernel.reduces else _KERNEL
    return 1 if ufunc in _CHEAP else _DEAR


def _step(node: Node, numbers: Mapping[Tensor, int], known: Mapping[Tensor, Any]) -> Step:
    op, kernel = node.op, node.kernel
    bind = partial(kernel.bind, op_def=op.op_def, attrs=op.attrs)
    owner, function = (op.name, op.type), bind(np)
    arguments = tuple([numbers[tensor] for tensor in node.inputs])
    if not kernel.reduces:
        kind, takes_out = kernel.elementwise, kernel.takes_out
        return Step(owner, function, arguments, kind, takes_out, bind=bind)
    ufunc = getattr(np, kernel.reduces, None)
    axes = known[node.inputs[1]]
    reduction = Reduction(axes, op.attrs["keep_dims"], ufunc, kernel.finish)
    return Step(owner, function, arguments[:1], "", False, reduction)


# --- what may stand in a group --------------------------------------------------------------------


def _small() -> int:
    """Fewer elements are not computed together."""
    return min(SMALL, _SMALL_FOR_NATIVE) if is_there() else SMALL


def _is_small(tensor: Tensor) -> bool:
    return _is_small_shape(tensor._shape)


def _is_small_shape(shape: Shape) -> bool:
    return shape is not None and None not in shape and prod(shape) < _small()  # type: ignore[arg-type]


def is_number(dtype: DType) -> bool:
    """Whether elements are plain numbers."""
    if dtype.is_ref or not dtype.is_numpy_compatible or dtype.is_quantized:
        return False
    plain = np.dtype(dtype.numpy)
    return not plain.hasobject and plain.names is None


def _is_elementwise(node: Node) -> bool:
    """Whether a node computes each element from those in its place, on the host."""
    kernel, op = node.kernel, node.op
    if not kernel.elementwise or node.memory is not None or node.arrival or len(op.outputs) != 1:
        return False
    if kernel.aliases and len(node.inputs) < 2:
        return False  # a sum of one is that one
    if op.attrs.get("data_format", b"NHWC") != b"NHWC" or _is_small(op.outputs[0]):
        return False
    # Of a variable the value is read, which no operation of its stretch changes.
    return all(is_number(tensor.dtype.base_dtype) for tensor in (*node.inputs, *op.outputs))


def _is_reduction(node: Node, axes: Any) -> bool:
    """Whether a node reduces along axes that are known, on the host."""
    if not node.kernel.reduces or node.memory is not None or _is_small(node.inputs[0]):
        return False
    # Without axes the result is the input.
    return axes is not None and axes.size > 0 and is_number(node.inputs[0].dtype.base_dtype)


def has_effects(node: Node) -> bool:
    """Whether a node must stay where it is among those that read what it may change."""
    kernel = node.kernel
    if kernel.constant:
        return False
    if kernel.stateful or node.arrival or node.op.op_def.is_stateful:
        return node.op.type != "ReadVariableOp"
    if kernel.forwards:
        return False
    return any(
        arg.is_ref or tensor.dtype.base_dtype in (resource, variant)
        for tensor, arg in zip(node.inputs, input_arguments(node.op), strict=False)
    )


# --- groups ---------------------------------------------------------------------------------------


def fused(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """The operations of a segment, with groups in the place of what is computed together.

    Args:
        nodes: in an order in which they can run.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    # Most graphs of very many nodes are small: their kernels and shapes tell that soon.
    outputs = [node.op.outputs for node in nodes if node.kernel.elementwise]
    shapes = {tensor._shape for tensor in chain.from_iterable(outputs)}
    if all(map(_is_small_shape, shapes)) and not any(node.kernel.reduces for node in nodes):
        return list(nodes)
    return in_stretches(Stretch, nodes, feeds, is_needed)


class Fuses(Protocol):
    """Operations whose order is only that of their inputs, as one way to group them sees them."""

    def __init__(
        self,
        nodes: Sequence[Node],
        feeds: Collection[Tensor],
        is_needed: Container[Tensor],
        readers: Mapping[Tensor, Sequence[Node]],
    ) -> None: ...

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs."""
        ...


def in_stretches(
    kind: type[Fuses],
    nodes: Sequence[Node],
    feeds: Collection[Tensor],
    is_needed: Container[Tensor],
) -> list[Node]:
    """The operations of a segment, each stretch of them grouped in one way."""
    readers: dict[Tensor, list[Node]] = {}
    for node in nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    found: list[Node] = []
    for stretch in stretches(nodes):
        found += kind(stretch, feeds, is_needed, readers).fused()
    return found


def stretches(nodes: Sequence[Node]) -> Iterator[list[Node]]:
    """The operations between those that have effects, and each of these alone."""
    stretch: list[Node] = []
    for node in nodes:
        if has_effects(node):
            yield stretch
            yield [node]
            stretch = []
        else:
            stretch.append(node)
    yield stretch


class Stretch:
    """Operations whose order is only that of their inputs."""

    # Operations of one group.
    most = 128

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
        self._makers = {t: i for i, node in enumerate(nodes) for t in node.op.outputs}
        for tensor in feeds:
            self._makers.pop(tensor, None)
        self._indices = {
            op: index
            for index, node in enumerate(nodes)
            for op in [leaf.op for leaf in leaves(node)]
        }
        self._joins = self._that_join()

    def _that_join(self) -> list[bool]:
        """For each operation, whether it can be computed with others."""
        feeds = self._feeds
        return [
            (_is_elementwise(node) or self._is_reduction(node))
            and node.op.outputs[0] not in feeds
            and self._is_read(node.op.outputs[0])
            for node in self._nodes
        ]

    def _known(self, tensor: Tensor) -> Any:
        """The value of a constant, of the graph or of these operations; None of anything else."""
        if tensor in self._feeds:
            return None
        if tensor.op.type == "Const":
            value = tensor.op.attrs["value"]
            return value if isinstance(value, np.ndarray) else None  # of some types there is none
        kernel = self._nodes[self._makers[tensor]].kernel if tensor in self._makers else None
        if kernel is None or kernel.function is None or not (kernel.constant and tensor.op.inputs):
            return None
        value = kernel.function(np)
        return value[tensor.op.outputs.index(tensor)] if gives_tuple(tensor.op.op_def) else value

    def _is_reduction(self, node: Node) -> bool:
        axes = self._known(node.inputs[1]) if node.kernel.reduces and node.inputs[1:] else None
        return _is_reduction(node, axes)

    def _is_read(self, tensor: Tensor) -> bool:
        return tensor in self._readers or tensor in self._is_needed

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs."""
        if not any(self._joins):
            return list(self._nodes)
        units: dict[int, list[int]] = {}
        for index, unit in enumerate(self._units()):
            units.setdefault(unit, []).append(index)
        most = self.most
        cut = [unit[i : i + most] for unit in units.values() for i in range(0, len(unit), most)]
        return self._in_order(cut)

    def _units(self) -> list[int]:
        """The unit of each operation: a group, or itself alone.

        Operations of one group have one level, and any way out of the group leads to a higher one:
        so no group waits for itself.
        """
        levels: list[int] = []
        units = list(range(len(self._nodes)))

        def root(index: int) -> int:
            while units[index] != index:
                units[index] = index = units[units[index]]
            return index

        for index, node in enumerate(self._nodes):
            makers = [self._makers[t] for t in node.inputs if t in self._makers]
            waits = [self._indices[op] for op in node.controls if op in self._indices]
            level = max((levels[i] + 1 for i in waits if not self._is_constant(i)), default=0)
            for maker in makers:
                if not self._is_constant(maker):
                    level = max(level, levels[maker] + (not self._can_join(maker, index)))
            levels.append(level)
            for maker in makers:
                if self._can_join(maker, index) and levels[maker] == level:
                    units[root(index)] = root(maker)
        found = [root(index) for index in range(len(units))]
        return self._beside(self._sunk(found, levels), levels)

    def _sunk(self, units: list[int], levels: list[int]) -> list[int]:
        """The units, where one that is read later only is a part of what reads it first.

        What it reads lies in memory in any case; what it makes need not.
        """
        ways: list[list[tuple[int, bool]]] = [[] for _ in units]
        members: dict[int, list[int]] = {}
        for index, node in enumerate(self._nodes):
            if self._joins[index]:
                members.setdefault(units[index], []).append(index)
            for tensor in node.inputs:
                if tensor in self._makers:
                    maker = self._makers[tensor]
                    ways[maker].append((index, self._can_join(maker, index)))
            for op in node.controls:
                if op in self._indices:
                    ways[self._indices[op]].append((index, False))
        # Any way out leads to a higher level: where it ends is settled before.
        for unit in sorted(members, key=lambda unit: -levels[unit]):
            own = members[unit]
            out = [way for index in own for way in ways[index] if units[way[0]] != unit]
            level = min((levels[reader] - (not joins) for reader, joins in out), default=0)
            hosts = {units[reader] for reader, joins in out if joins and levels[reader] == level}
            if level > levels[unit] and hosts:
                members[unit] = [*own, *(i for host in hosts for i in members.pop(host))]
                for index in members[unit]:
                    units[index], levels[index] = unit, level
        return units

    def _beside(self, units: list[int], levels: list[int]) -> list[int]:
        """The units, where those are one that read the same at once: it is read from memory once.

        They are all of one shape, so that there is a way to cut them; on one level none waits for
        another.
        """
        shapes: dict[int, Shape] = {}
        for index, node in enumerate(self._nodes):
            if self._joins[index]:
                unit, shape = units[index], _only_shape(node)
                shapes[unit] = shape if shapes.get(unit, shape) == shape else None
        firsts: dict[tuple[Tensor, int, object], int] = {}
        hosts: dict[int, int] = {}

        def host(unit: int) -> int:
            while unit in hosts:
                unit = hosts[unit]
            return unit

        for index, node in enumerate(self._nodes):
            unit = units[index]
            if not self._joins[index] or shapes[unit] is None:
                continue
            for tensor in node.inputs:
                if tensor._shape == shapes[unit]:
                    key = tensor, levels[index], node.allocator
                    first, own = host(firsts.setdefault(key, unit)), host(unit)
                    if first != own:
                        hosts[own] = first
        return [host(unit) for unit in units]

    def _is_constant(self, index: int) -> bool:
        """Whether an operation waits for nothing."""
        node = self._nodes[index]
        return node.kernel.constant and not node.controls

    def _can_join(self, maker: int, reader: int) -> bool:
        """Whether an operation may be computed with one that reads its result."""
        if not (self._joins[maker] and self._joins[reader]):
            return False
        one, other = self._nodes[maker], self._nodes[reader]
        if one.allocator is not other.allocator or one.kernel.reduces:
            return False
        if other.kernel.reduces:
            return True
        made, result = one.op.outputs[0]._shape, other.op.outputs[0]._shape
        return made is None or result is None or _may_equal(made, result)

    def _in_order(self, units: Sequence[Sequence[int]]) -> list[Node]:
        """The units, each behind what it needs, otherwise in the order of their last operations."""
        unit_of = {index: unit for unit, members in enumerate(units) for index in members}
        needs: list[set[int]] = [set() for _ in units]
        for index, node in enumerate(self._nodes):
            before = [self._makers[t] for t in node.inputs if t in self._makers]
            before += [self._indices[op] for op in node.controls if op in self._indices]
            needs[unit_of[index]].update(unit_of[i] for i in before)
        waiting = []
        followers: dict[int, list[int]] = {}
        ready: list[tuple[int, int]] = []
        for unit, members in enumerate(units):
            needs[unit].discard(unit)
            waiting.append(len(needs[unit]))
            for need in needs[unit]:
                followers.setdefault(need, []).append(unit)
            if not needs[unit]:
                heappush(ready, (members[-1], unit))
        ordered: list[Node] = []
        while ready:
            _, unit = heappop(ready)
            members = units[unit]
            ordered.append(
                self._group(members) if self._joins[members[0]] else self._nodes[members[0]]
            )
            for follower in followers.get(unit, ()):
                waiting[follower] -= 1
                if not waiting[follower]:
                    heappush(ready, (units[follower][-1], follower))
        assert sum(map(_size, ordered)) == sum(map(_size, self._nodes)), "a group waits for itself"
        return ordered

    def _group(self, members: Sequence[int]) -> Node:
        parts = [self._nodes[index] for index in members]
        inputs, outputs = self._ends(parts)
        own = {part.op for part in parts}
        hollow = {
            t
            for t in outputs
            if t not in self._is_needed
            and all(r.op.type in _OF_SHAPES for r in self._readers[t] if r.op not in own)
        }
        group = Fused.of(parts, inputs, outputs, hollow)
        along = [node.inputs[1] for node in parts if node.kernel.reduces and len(node.inputs) > 1]
        group.axes = {tensor: self._known(tensor) for tensor in along}
        return group

    def _ends(self, parts: Sequence[Node]) -> tuple[list[Tensor], list[Tensor]]:
        """What a group takes, and what others read of what it makes."""
        own = {part.op for part in parts}
        made = [tensor for part in parts for tensor in part.op.outputs]
        readers = self._readers
        outputs = [
            t
            for t in made
            if t in self._is_needed or any(reader.op not in own for reader in readers.get(t, ()))
        ]
        of_group = set(made)
        taken = [t for part in parts for t in part.inputs if t not in of_group]
        return list(dict.fromkeys(taken)), outputs


def _only_shape(node: Node) -> Shape:
    """The shape of all that a node reads and makes but for scalars, if that is one."""
    reads = node.inputs[:1] if node.kernel.reduces else node.inputs
    shapes = {tensor._shape for tensor in (*reads, *node.op.outputs)} - {()}
    return shapes.pop() if len(shapes) == 1 else None


_KERNEL_OF_GROUPS = Kernel("Fused", None)


def _size(node: Node) -> int:
    return len(leaves(node)) if isinstance(node, Group) else 1


def _may_equal(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or a is None or b is None for a, b in pairs)
