"""The graph of a function under construction: what it reads of other graphs becomes an argument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tfsession.core.dtypes import DType, variant
from tfsession.core.host_functions import HOST_FUNCTIONS_KEY
from tfsession.core.op_def import ops
from tfsession.core.shape import Shape
from tfsession.graph.build import build_operation
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.tensor import Tensor

_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
# How many functions are being built, in all threads: making an operation asks for nothing else.
under_construction = 0


class FunctionGraph(Graph):
    """The body of a function; `captures` has the inner tensor of each outer one that it reads.

    With `by_value`, what is read is copied into the body; ValueError where it has state.
    """

    building_function = True

    def __init__(self, outer: Graph, by_value: bool = False) -> None:
        super().__init__()
        self.outer = outer
        self.captures: dict[Tensor, Tensor] = {}
        self.seed = outer.seed
        # Python functions that the body calls live as long as the graph around.
        self._collections[HOST_FUNCTIONS_KEY] = outer.get_collection_ref(HOST_FUNCTIONS_KEY)
        self._by_value = by_value

    @contextmanager
    def under_construction(self) -> Iterator[None]:
        """Be the default graph; operations made meanwhile may read tensors of outer graphs."""
        global under_construction
        with self.as_default():
            under_construction += 1
            try:
                yield
            finally:
                under_construction -= 1

    def argument(self, name: str, dtype: DType, shape: Shape = None) -> Tensor:
        """A new argument of the function."""
        attrs = {"dtype": dtype.base_dtype, "shape": shape}
        with self.control_dependencies(None), self.device(None):
            op = build_operation(self, ops["Placeholder"], self.node_name(name), (), attrs)
        return op.outputs[0]

    def capture(self, tensor: Tensor, name: str | None = None) -> Tensor:
        """The tensor of the body that stands for one of an outer graph."""
        if tensor.op.graph is self:
            return tensor
        inner = self.captures.get(tensor)
        if inner is not None:
            return inner
        if self._by_value:
            return self._copied(tensor)
        source = self._outside(tensor)
        inner = self.captures[tensor] = self.argument(
            name or source.op.name, source.dtype, source._shape
        )
        return inner

    def _outside(self, tensor: Tensor) -> Tensor:
        """The tensor of the next graph outwards that stands for one further out."""
        return self.outer.capture(tensor) if isinstance(self.outer, FunctionGraph) else tensor

    def _copied(self, tensor: Tensor) -> Tensor:
        op = tensor.op
        is_dataset = len(op.outputs) == 1 and op.outputs[0].dtype is variant
        if op.type in _PLACEHOLDERS or (op.op_def.is_stateful and not is_dataset):
            kind = "placeholder" if op.type in _PLACEHOLDERS else "stateful node"
            raise ValueError(f"Cannot capture a {kind} (name:{op.name}, type:{op.type}) by value.")
        inputs = tuple([self.capture(read) for read in op.inputs])
        with self.control_dependencies(None):
            copy = build_operation(self, op.op_def, self.node_name(op.name), inputs, dict(op.attrs))
        self.captures.update(zip(op.outputs, copy.outputs, strict=True))
        return copy.outputs[tensor.value_index]

    def outer_captures(self) -> tuple[list[Tensor], list[Tensor]]:
        """What a call takes beside its own inputs, and the arguments that stand for it."""
        inner = {t for t in self.captures.values() if t.op.type == "Placeholder"}
        pairs = [(read, t) for read, t in self.captures.items() if t in inner]
        return [self._outside(read) for read, _ in pairs], [t for _, t in pairs]


def brought_in(inputs: Sequence[Any]) -> Sequence[Any]:
    """Inputs of an operation of the default graph; a function's captures what is of outer ones."""
    graph = get_default_graph()
    if not isinstance(graph, FunctionGraph):
        return inputs

    def bring(value: Any) -> Any:
        if isinstance(value, Tensor):
            return graph.capture(value)
        if type(value) in (list, tuple):
            return type(value)(map(bring, value))
        return value

    return [bring(value) for value in inputs]
