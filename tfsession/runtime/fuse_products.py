"""Products of matrices of a GPU with what is done to them: one call of the library that multiplies.

A bias that is added and an activation join their product, the sum that is the gradient of a bias
joins the product that is the gradient of its weights. An activation is known by what it gives, not
by how it is written. `ReluGrad` stays with the element-wise operations: the library could apply
it, but only by a mask of bits that the forward product would have to write for it, where the
kernels generated for such operations read what the step has kept anyhow.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfsession.core.dtypes import bfloat16, float16, float32
from tfsession.core.rules import fusers
from tfsession.devices.capture import CaptureRefused
from tfsession.devices.cublaslt import BIAS, DEFAULT, GELU, GRADIENT_OF_BIAS, RELU
from tfsession.devices.gemm import GemmLibrary, gemm_library
from tfsession.devices.spares import Spares
from tfsession.graph.tensor import Tensor
from tfsession.runtime.fuse import in_stretches
from tfsession.runtime.fuse_device import OnDevice
from tfsession.runtime.neighbours import Neighbours
from tfsession.runtime.partition import Node

_TYPES = frozenset({float32, float16, bfloat16})
_SUMS = frozenset({"Add", "AddV2"})
_CONVOLUTIONS = frozenset({"Conv2D", "Conv3D"})
# What tells how the windows of a convolution lie.
_OF_WINDOWS = ("strides", "padding", "explicit_paddings", "data_format", "dilations")
# Operations that an activation may be made of.
_MOST = 16
# Where activations are compared, and how exactly: their constants are as exact as their type.
_POINTS = np.concatenate([np.linspace(-8, 8, 97), [-1e3, -30, 30, 1e3]])
_CLOSE, _CLOSE_OF_HALVES = 1e-6, 2e-3


def _relu(x: Any) -> Any:
    return np.maximum(x, 0)


def _gelu(x: Any) -> Any:
    """Hendrycks and Gimpel, 2016, by the hyperbolic tangent, as the library has it."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


_ACTIVATIONS = {RELU: _relu(_POINTS), GELU: _gelu(_POINTS)}


class Products(OnDevice):
    """A product with what is done to it; `parts` begin with the product or with a sum of rows."""

    __slots__ = ()

    def computed(
        self, fetched: Collection[Tensor], closing: Sequence[object], spares: Spares
    ) -> Callable[..., Any]:
        """What computes it by the library, or gives None where that cannot.

        A device without one computes it as it does other groups: a simulated one at once.
        """
        device: Any = self.memory
        if self.parts[0].op.type in _CONVOLUTIONS:
            return self._of_windows(fetched, closing, spares)
        otherwise = super().computed(fetched, closing, spares)
        product = next(node for node in self.parts if node.op.type == "MatMul")
        turns = product.op.attrs["transpose_a"], product.op.attrs["transpose_b"]
        places = {tensor: number for number, tensor in enumerate(self.inputs)}
        a, b = (places[tensor] for tensor in product.inputs)
        sums = [node for node in self.parts if node.op.type == "BiasAddGrad"]
        if sums:
            is_first = self.op.outputs[0] is sums[0].op.outputs[0]

            def summed(*values: Any) -> Any:
                library = gemm_library(device.xp)
                if library is None:
                    return otherwise(*values)
                return _with_sum(library, device.xp, values[a], values[b], turns, is_first)

            return summed
        epilogue, vector_of = self._epilogue()
        bias = None if vector_of is None else places[vector_of]

        def fused(*values: Any) -> Any:
            library = gemm_library(device.xp)
            if library is None:
                return otherwise(*values)
            vector = None if bias is None else values[bias]
            sides = values[a], values[b]
            return _with_epilogue(library, device.xp, *sides, turns, epilogue, vector)

        return fused

    def _epilogue(self) -> tuple[int, Tensor | None]:
        """What is done to the product, which is the first part, and the bias that is added."""
        vectors = [tensor for tensor in self.parts[1].inputs if _is_bias(self.parts[1], tensor)]
        epilogue = (BIAS if vectors else 0) | _activation(self.parts[len(vectors) + 1 :])
        return epilogue, vectors[0] if vectors else None

    def _of_windows(self, *told: Any) -> Callable[..., Any]:
        """A convolution by the library, or by its own kernel and one for what is done to it."""
        first, *rest = self.parts
        op, xp = first.op, self.memory.xp  # type: ignore[union-attr]
        made, read = op.outputs[0], {tensor for node in rest for tensor in node.inputs}
        others = [tensor for tensor in self.inputs if tensor in read]
        behind = OnDevice.of(rest, [made, *others], self.op.outputs).computed(*told)
        epilogue, vector = self._epilogue()
        attrs = {name: op.attrs[name] for name in _OF_WINDOWS if name in op.attrs}
        by_library = fusers["convolution"](xp, op.type, attrs)
        by_kernel = first.kernel.bind(xp, op.op_def, op.attrs)
        places = [self.inputs.index(tensor) for tensor in (*first.inputs, *others)]
        bias = None if vector is None else self.inputs.index(vector)

        def convolved(*values: Any) -> Any:
            x, w, *given = [values[place] for place in places]
            try:
                found = by_library(x, w, epilogue, None if bias is None else values[bias])
                return behind(by_kernel(x, w), *given) if found is None else found
            except CaptureRefused:
                raise
            except Exception:
                return None  # operations one after another tell whose error it is

        return convolved


def _sides(left: Any, right: Any, turns: tuple[bool, bool]) -> tuple[Any, Any] | None:
    if left.ndim != 2 or right.ndim != 2:
        return None
    return left.T if turns[0] else left, right.T if turns[1] else right


def _with_epilogue(
    library: GemmLibrary,
    xp: Any,
    left: Any,
    right: Any,
    turns: tuple[bool, bool],
    epilogue: int,
    bias: Any,
) -> Any:
    sides = _sides(left, right, turns)
    if sides is None:
        return None
    if bias is not None and (bias.shape != sides[1].shape[1:] or not bias.flags.c_contiguous):
        return None
    return library.multiply(xp, *sides, epilogue=epilogue or DEFAULT, vector=bias)


def _with_sum(
    library: GemmLibrary, xp: Any, left: Any, right: Any, turns: tuple[bool, bool], is_first: bool
) -> tuple[Any, Any] | None:
    sides = _sides(left, right, turns)
    if sides is None:
        return None
    total = xp.empty(sides[1].shape[1:], sides[1].dtype)
    found = library.multiply(xp, *sides, epilogue=GRADIENT_OF_BIAS, vector=total)
    if found is None:
        return None
    return (total, found) if is_first else (found, total)


# --- what belongs together ------------------------------------------------------------------------


def fused_products(
    nodes: Sequence[Node], feeds: Collection[Tensor], is_needed: Container[Tensor]
) -> list[Node]:
    """The operations of a segment of a GPU, with groups in the place of what is one product.

    Args:
        nodes: in an order in which they can run.
        feeds: tensors whose values come from outside.
        is_needed: the tensors that are read behind these operations.
    """
    if not any(_is_product(node) for node in nodes):
        return list(nodes)
    return in_stretches(_Stretch, nodes, feeds, is_needed)


def _is_product(node: Node) -> bool:
    op = node.op
    if op.type in _CONVOLUTIONS and op.attrs["data_format"].startswith(b"NC"):
        return False
    is_known = op.type == "MatMul" or op.type in _CONVOLUTIONS
    return is_known and node.memory is not None and op.attrs["T"] in _TYPES


class _Stretch(Neighbours):
    """Operations among which there are products."""

    def __init__(
        self,
        nodes: Sequence[Node],
        feeds: Collection[Tensor],
        is_needed: Container[Tensor],
        readers: Mapping[Tensor, Sequence[Node]],
    ) -> None:
        super().__init__(nodes, feeds, is_needed, readers)
        self._sums = self._find_sums()

    def fused(self) -> list[Node]:
        """The operations with groups in the place of theirs.

        One with an activation stands where its last operation stood, one with a sum where its first
        one did.
        """
        groups: dict[int, Node] = {}
        taken: set[int] = set()
        for node in self._nodes:
            if not _is_product(node) or not self._is_wanted(node):
                continue
            for where, found in ((-1, self._with_activation(node)), (0, self._with_sum(node))):
                places = [self._places[part.op] for part in found]
                if len(places) > 1 and taken.isdisjoint(places):
                    taken.update(places)
                    groups[places[where]] = self._group(found)
        return self._with_groups(groups, taken)

    def _group(self, parts: Sequence[Node]) -> Node:
        own = {part.op for part in parts}
        made = [tensor for part in parts for tensor in part.op.outputs]
        outputs = [
            t
            for t in made
            if t in self._is_needed or any(r.op not in own for r in self._readers.get(t, ()))
        ]
        inputs = dict.fromkeys(t for part in parts for t in part.inputs if t not in made)
        return Products.of(parts, list(inputs), outputs)

    # --- forwards -------------------------------------------------------------------------------

    def _with_activation(self, product: Node) -> list[Node]:
        """A product, the bias that is added to it, and the activation of that."""
        parts = [product]
        if (bias := self._bias_of(product)) is not None:
            parts.append(bias)
        return [*parts, *self._activation_of(parts[-1])]

    def _bias_of(self, product: Node) -> Node | None:
        readers = self._inside(product)
        if len(readers) != 1 or len(readers[0].inputs) != 2:
            return None
        node, (made,) = readers[0], product.op.outputs
        others = [tensor for tensor in node.inputs if tensor is not made]
        if len(others) != 1 or not is_alike(node, product) or not _is_bias(node, others[0]):
            return None
        if node.op.type == "BiasAdd":
            return None if node.op.attrs["data_format"] == b"NCHW" else node
        # A vector as long as rows; one of another length would be spread, or be refused.
        (size,), own = others[0]._shape or (None,), made._shape
        return node if own and size is not None and size == own[-1] else None

    def _activation_of(self, node: Node) -> list[Node]:
        """The operations behind a result that make an activation of it; none where they do not."""
        readers = self._inside(node)
        if not readers:
            return []
        (x,) = node.op.outputs
        chain: list[Node] = []
        made = {x}
        for other in self._nodes[self._places[node.op] + 1 :]:
            if len(chain) == _MOST:
                break
            if not is_alike(other, node) or len(other.op.outputs) != 1:
                continue
            inputs = [tensor for tensor in other.inputs if not self._is_scalar(tensor)]
            if not other.kernel.elementwise or not inputs or not made.issuperset(inputs):
                continue
            if other.op.outputs[0] in self._feeds:
                continue
            chain.append(other)
            made.update(other.op.outputs)
            if self._is_closed(readers, chain) and _activation(chain):
                return chain
        return []

    def _is_closed(self, readers: Sequence[Node], chain: Sequence[Node]) -> bool:
        """Whether nobody else reads what operations make, but for the last one's result."""
        own = {part.op for part in chain}
        if any(reader.op not in own for reader in readers):
            return False
        inner = [self._inside(part) for part in chain[:-1]]
        return all(found and all(r.op in own for r in found) for found in inner)

    # --- backwards ------------------------------------------------------------------------------

    def _with_sum(self, product: Node) -> list[Node]:
        """The gradient of weights, with that of the bias: the sum of the rows of its right side.

        Gradients go through operations that only hand them on, so both are looked at without
        those; then what comes later can be computed where the first one stands.
        """
        attrs = product.op.attrs
        if product.op.type != "MatMul" or not attrs["transpose_a"] or attrs["transpose_b"]:
            return []
        product = replace(product, inputs=[self._root(tensor) for tensor in product.inputs])
        for other in self._sums.get(product.inputs[1], ()):
            if is_alike(other, product):
                pair = sorted([product, other], key=lambda node: self._places[node.op])
                place = self._places[pair[0].op]
                if all(self._is_made_before(tensor, place) for tensor in pair[1].inputs):
                    return pair
        return []

    def _root(self, tensor: Tensor) -> Tensor:
        """What an operation of this stretch has handed on as this tensor."""
        while tensor in self._makers:
            node = self._nodes[self._makers[tensor]]
            if not node.kernel.forwards or node.inputs[0].dtype.is_ref:
                break
            if node.input_memories[0] is not node.memory:
                break
            tensor = node.inputs[0]
        return tensor

    def _is_made_before(self, tensor: Tensor, place: int) -> bool:
        return self._makers.get(tensor, -1) < place

    def _find_sums(self) -> dict[Tensor, list[Node]]:
        """The sums over rows, by what they sum up."""
        found: dict[Tensor, list[Node]] = {}
        for node in self._nodes:
            if node.op.type == "BiasAddGrad" and node.op.attrs["data_format"] != b"NCHW":
                root = self._root(node.inputs[0])
                if self._is_wanted(node):
                    found.setdefault(root, []).append(replace(node, inputs=[root]))
        return found

    def _is_wanted(self, node: Node) -> bool:
        """Whether somebody reads what an operation makes."""
        (made,) = node.op.outputs
        is_read = made in self._readers or made in self._is_needed
        return is_read and made not in self._feeds


def _is_bias(node: Node, tensor: Tensor) -> bool:
    """Whether an operation may add a tensor as a bias."""
    if node.op.type == "BiasAdd":
        return tensor is node.inputs[1]
    return node.op.type in _SUMS and tensor._shape is not None and len(tensor._shape) == 1


def is_alike(node: Node, product: Node) -> bool:
    """Whether an operation computes where a product does, in its type."""
    memory = product.memory
    return (
        node.memory is memory
        and node.op.attrs.get("T") is product.op.attrs["T"]
        and all(own is memory for own in (*node.input_memories, *node.output_memories))
    )


def _values(chain: Sequence[Node]) -> Any:
    """What the last operation gives for the points, which are what no other operation makes."""
    found: Any = None
    values: dict[Tensor, Any] = {}
    with np.errstate(all="ignore"):
        for node in chain:
            inputs = []
            for tensor in node.inputs:
                if tensor in values:
                    inputs.append(values[tensor])
                elif tensor.op.type == "Const" and tensor._shape == ():
                    inputs.append(np.asarray(tensor.op.attrs["value"]).astype(np.float64))
                else:
                    inputs.append(_POINTS)
            found = node.kernel.bind(np, node.op.op_def, node.op.attrs)(*inputs)
            values[node.op.outputs[0]] = found
    return found


def _activation(chain: Sequence[Node]) -> int:
    """The epilogue that gives what a chain of operations does; 0 where none does."""
    if not chain:
        return 0
    try:
        found = _values(chain)
    except Exception:
        return 0  # what is wrong with it shows when it runs
    if np.shape(found) != _POINTS.shape or not np.isrealobj(found):
        return 0
    close = _CLOSE if chain[0].op.attrs["T"] is float32 else _CLOSE_OF_HALVES
    for epilogue, wanted in _ACTIVATIONS.items():
        if np.allclose(found.astype(np.float64), wanted, rtol=close, atol=close):
            return epilogue
    return 0
