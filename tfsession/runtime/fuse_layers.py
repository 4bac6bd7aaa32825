"""Dense layers of the host one behind the other: products with biases and rectifiers.

Of many rows each block goes through all layers on one thread, while it is in the cache. Of few: a
step of a served network takes some hundred microseconds, and many threads of a program run such
steps at once. Whoever calls NumPy gives the interpreter away and has to wait until it is free
again, and Linux may wake it on a core that is busy. So a library adds the bias and rectifies where
it multiplies. It takes NaN for less than zero; whether there can be any, norms of the input and of
the weights tell beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from tfsession.core.dtypes import float32
from tfsession.core.rules import fusers
from tfsession.devices.blas import square_sum
from tfsession.devices.spares import Spares
from tfsession.devices.threads import run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.graph.tensor import Tensor
from tfsession.runtime.blocks import Unfit
from tfsession.runtime.control import stop_closed
from tfsession.runtime.fuse import Group, in_stretches, leaves
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

# Elements of the input from which on it is worth it, and up to which rows are few.
_LEAST, _FEW = 1 << 10, 1 << 15
# Multiplications of a block of many rows, and of all of them at least; and how many rows it has, in
# steps of what inner loops take at once.
_BLOCK, _LEAST_WORK = 50_000_000, 100_000_000
_LEAST_ROWS, _STEP = 48, 16
# What is known of inputs of so many sizes.
_MOST_SIZES = 16
# Sums of less are finite, however they are added up.
_BOUND = 1e37
_SUMS = frozenset({"Add", "AddV2", "BiasAdd", "BiasAddV1"})


class _Layer(NamedTuple):
    """A product, what is added to it, if anything is, and whether it is rectified."""

    weights: Tensor
    bias: Tensor | None
    is_rectified: bool
    functions: Sequence[Callable[..., Any]]


class _Steps(NamedTuple):
    """What writes the result of each layer, of what shape, and for which inputs.

    `most` is the least sum of their squares for which results may not be finite.
    """

    most: float
    steps: list[tuple[Callable[[Any, Any], None], tuple[int, int]]]


@dataclass(slots=True, eq=False)
class Layered(Group):
    """Dense layers, each of which reads the one before; `is_fixed` if all else is constant."""

    is_fixed: bool = False

    def condition(self, name: Callable[[Tensor], str]) -> str:
        """Whether the input is of a size that is worth it."""
        return f"{name(self.inputs[0])}.size > {_LEAST if self.is_fixed else _FEW}"

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes it, or gives None."""
        layers = _layers_of([leaf for part in self.parts for leaf in leaves(part)])
        places = {tensor: place for place, tensor in enumerate(self.inputs)}
        of_few = _FewRows(layers, places, closing) if self.is_fixed else None
        of_many = _ManyRows(layers, places, closing)

        def compute(*values: Any) -> Any:
            x = values[0]
            if x.ndim != 2 or x.dtype != np.float32 or not x.flags.c_contiguous:
                return None
            if x.size > _FEW:
                return of_many(values)
            return None if of_few is None else of_few(values)

        return compute


class _FewRows:
    """Computes layers of constants on the calling thread."""

    def __init__(
        self, layers: Sequence[_Layer], places: Mapping[Tensor, int], closing: Sequence[object]
    ) -> None:
        self._layers, self._places, self._closing = layers, places, closing
        self._known: dict[tuple[int, ...], _Steps | None] = {}

    def __call__(self, values: Sequence[Any]) -> Any:
        """The result, or None."""
        x = values[0]
        shape = x.shape
        steps = self._known[shape] if shape in self._known else self._find(shape, values)
        if steps is None or not square_sum(x.reshape(-1)) < steps.most:
            return None
        for step, shape in steps.steps:
            if self._closing:
                stop_closed()
            result = np.empty(shape, np.float32)
            step(x, result)
            x = result
        return x

    def _find(self, shape: tuple[int, ...], values: Sequence[Any]) -> _Steps | None:
        if len(self._known) >= _MOST_SIZES:
            self._known.clear()
        try:
            steps = _steps(shape, self._layers, self._places, values)
        except Exception:
            steps = None
        self._known[shape] = steps
        return steps


class _ManyRows:
    """Computes blocks of rows, each through all layers while it is in the cache."""

    def __init__(
        self, layers: Sequence[_Layer], places: Mapping[Tensor, int], closing: Sequence[object]
    ) -> None:
        self._layers, self._closing = layers, closing
        self._places = [
            (places[layer.weights], None if layer.bias is None else places[layer.bias])
            for layer in layers
        ]

    def __call__(self, values: Sequence[Any]) -> Any:
        """The result, or None."""
        x = values[0]
        arrays = [(values[w], None if b is None else values[b]) for w, b in self._places]
        try:
            step = _block_of(x.shape, arrays)
            rows = len(x)
            some = {min(step, rows), rows % step or step}
            find = fusers["rows of a layer"]
            found = [find(rows, some, w, bias) for w, bias in arrays]
            if None in found:
                return None
            widths = [w.shape[1] for w, _ in arrays]
            result = np.empty((rows, widths[-1]), np.float32)

            def compute(start: int, stop: int) -> None:
                with Workspace(np) as take:
                    part, count, last = x[start:stop], stop - start, len(widths) - 1
                    for place, (layer, writes) in enumerate(zip(self._layers, found, strict=True)):
                        if self._closing:
                            stop_closed()
                        if place == last:
                            out = result[start:stop]
                        else:
                            out = take((count, widths[place]), np.float32)
                        writes[count](part, out)
                        if layer.is_rectified:
                            layer.functions[-1](out, out=out)
                        part = out

            run_blocks(np, rows, step, compute)
            return result
        except Exception:
            return None  # one after another they find the error again, and whose it is


def _block_of(shape: tuple[int, ...], arrays: Sequence[tuple[Any, Any]]) -> int:
    """How many rows a block has, of these layers; raises Unfit where there are none."""
    rows, inner = shape
    for w, bias in arrays:
        if w.ndim != 2 or w.shape[0] != inner or (bias is not None and bias.shape != w.shape[1:]):
            raise Unfit
        inner = w.shape[1]
    work = rows * sum(int(w.size) for w, _ in arrays)
    blocks = 2 * max(1, work // (2 * _BLOCK))
    step = -(-rows // blocks // _STEP) * _STEP
    if work < _LEAST_WORK or step < _LEAST_ROWS:
        raise Unfit
    return step


def _layers_of(nodes: Sequence[Node]) -> list[_Layer]:
    """The layers that these operations are."""
    layers: list[_Layer] = []
    for node in nodes:
        op = node.op
        function = node.kernel.bind(np, op.op_def, op.attrs)
        if op.type == "MatMul":
            layers.append(_Layer(node.inputs[1], None, False, [function]))
            continue
        last = layers[-1]
        functions = [*last.functions, function]
        if op.type == "Relu":
            layers[-1] = last._replace(is_rectified=True, functions=functions)
        else:
            layers[-1] = last._replace(bias=node.inputs[1], functions=functions)
    return layers


def _steps(
    shape: tuple[int, ...],
    layers: Sequence[_Layer],
    places: Mapping[Tensor, int],
    values: Sequence[Any],
) -> _Steps:
    """How layers are computed for an input of this shape; raises Unfit if nothing is gained."""
    rows, inner = shape
    steps, gains = [], False
    # Norms of results are below `factor` times that of the input, and `more`.
    factor, more, most = 1.0, 0.0, _BOUND
    for layer in layers:
        w = values[places[layer.weights]]
        bias = None if layer.bias is None else values[places[layer.bias]]
        if w.shape[0] != inner:
            raise Unfit
        inner = w.shape[1]
        size = float(np.linalg.norm(w.astype(np.float64)))
        factor, more = factor * size, more * size
        if bias is not None:
            if bias.shape != w.shape[1:]:
                raise Unfit
            more += float(np.linalg.norm(bias.astype(np.float64))) * rows**0.5
        if not more < _BOUND or not factor < _BOUND:
            raise Unfit
        most = min(most, _BOUND / max(factor, 1))
        step = fusers["layer"](rows, w, bias, layer.is_rectified)
        gains |= step is not None
        steps.append((step or _plain(layer, w, bias), (rows, inner)))
    if not gains:
        raise Unfit
    return _Steps(min(most**2, _BOUND), steps)


def _plain(layer: _Layer, w: Any, bias: Any) -> Callable[[Any, Any], None]:
    """What writes the result of a layer by one operation after another."""
    multiply, *others = layer.functions

    def write(x: Any, out: Any) -> None:
        result = multiply(x, w)
        for number, function in enumerate(others):
            result = function(result) if bias is None or number else function(result, bias)
        out[...] = result

    return write


# --- what belongs together ------------------------------------------------------------------------


def fused_layers(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """The operations of a segment of the host, with groups in the place of small dense layers.

    Args:
        nodes: in an order in which they can run.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    if "MatMul" not in {node.kernel.op_type for node in nodes}:
        return list(nodes)
    return in_stretches(_Stretch, nodes, feeds, is_needed)


class _Stretch(Neighbours):
    """Operations among which there are dense layers."""

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs, where their last one stood."""
        groups: dict[int, Node] = {}
        taken: set[int] = set()
        for index, node in enumerate(self._nodes):
            if index not in taken and self._is_product(node):
                chain = self._chain_of(node)
                if len(chain) > 1:
                    places = [self._places[part.op] for part in chain]
                    taken.update(places)
                    made = {part.op.outputs[0] for part in chain}
                    inputs = dict.fromkeys(t for part in chain for t in part.inputs)
                    read = [tensor for tensor in inputs if tensor not in made]
                    group = Layered.of(chain, read, chain[-1].op.outputs)
                    group.is_fixed = all(map(self._is_constant, read[1:]))
                    groups[places[-1]] = group
        return self._with_groups(groups, taken)

    def _chain_of(self, product: Node) -> list[Node]:
        """A product, and what reads it and nothing else; layers of this chain may follow."""
        chain, last = [product], "MatMul"
        while len(readers := self._inside(chain[-1])) == 1:
            (reader,) = readers
            made = chain[-1].op.outputs[0]
            if reader.allocator is not product.allocator or reader.inputs[0] is not made:
                break
            ending = last
            for leaf in leaves(reader):
                ending = self._next(ending, leaf) if ending else ""
            if not ending or reader.inputs.count(made) != 1 or len(reader.op.outputs) != 1:
                break
            chain.append(reader)
            last = ending
        return chain

    def _next(self, last: str, node: Node) -> str:
        """What a chain ends with behind a further operation; nothing where that does not fit."""
        if node.controls or node.op in self._awaited or node.memory is not None:
            return ""
        kind = node.op.type
        if kind == "Relu":
            return kind if last in ("MatMul", "bias") and _is_float(node) else ""
        if kind in _SUMS:
            shape = node.inputs[1]._shape
            is_bias = last == "MatMul" and shape is not None and len(shape) == 1 and _is_float(node)
            return "bias" if is_bias and node.op.attrs.get("data_format") != b"NCHW" else ""
        return kind if last == "Relu" and self._is_product(node) else ""

    def _is_product(self, node: Node) -> bool:
        if node.op.type != "MatMul" or node.memory is not None or node.controls:
            return False
        if node.allocator is not None and node.allocator.ledger is not None:
            return False
        attrs = node.op.attrs
        is_plain = not attrs["transpose_a"] and not attrs["transpose_b"] and _is_float(node)
        return is_plain and not any(tensor.dtype.is_ref for tensor in node.inputs)

    def _is_constant(self, tensor: Tensor) -> bool:
        return tensor.op.type == "Const" and tensor not in self._feeds


def _is_float(node: Node) -> bool:
    return node.op.outputs[0].dtype is float32 and node.op.attrs["T"] is float32
