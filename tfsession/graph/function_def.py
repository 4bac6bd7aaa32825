"""Functions of a graph: FunctionDef messages from operations, and operations from messages.

In a FunctionDef an input is called by the name of an argument (`x`), or by a node, an output of its
definition and a number in that output (`split:output:1`); in a graph by a node and the number of
the tensor (`split:1`). That is all that differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfsession.core import protos
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.errors import InvalidArgumentError, NotFoundError
from tfsession.core.op_def import ArgDef, OpDef, ops
from tfsession.core.op_def_proto import op_def_from_proto
from tfsession.graph.build import build_operation
from tfsession.graph.importer import import_nodes
from tfsession.graph.loaded import mark_body
from tfsession.graph.node_builder import not_registered
from tfsession.graph.node_def import fill_node_def
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph


def definition_of(graph: Graph, op_type: str) -> OpDef | None:
    """The definition of an op type, or of a function of the graph."""
    op_def = ops.get(op_type)
    if op_def is None and op_type in graph._functions:
        op_def = op_def_from_proto(graph._functions[op_type].signature)
    return op_def


def _length(arg: ArgDef, attrs: Mapping[str, Any]) -> int:
    """How many tensors stand for an argument, by the AttrValue messages of a node."""
    if arg.number_attr is not None:
        return int(attrs[arg.number_attr].i)
    if arg.type_list_attr is not None:
        return len(attrs[arg.type_list_attr].list.type)
    return 1


# --- from operations ------------------------------------------------------------------------------


def to_function_def(
    name: str,
    operations: Sequence[Operation],
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    targets: Sequence[Operation] = (),
) -> Any:
    """The FunctionDef of a part of a graph.

    Args:
        name: of the function.
        operations: its body, placeholders of the arguments left out.
        inputs: by the name of each argument, the tensor of the body that stands for it.
        outputs: by the name of each result, the tensor that is given back.
        targets: what a call runs beside what the results need.
    """
    message = protos.FunctionDef()
    signature = message.signature
    signature.name = name
    texts: dict[Tensor, str] = {}
    for argument, tensor in inputs.items():
        signature.input_arg.add(name=argument, type=tensor.dtype.base_dtype.as_datatype_enum)
        texts[tensor] = argument
    for op in operations:
        texts.update(zip(op.outputs, _output_texts(op), strict=True))
    members = set(operations)
    for op in operations:
        node = message.node_def.add()
        fill_node_def(node, op, [c for c in op.control_inputs if c in members])
        controls = [text for text in node.input if text.startswith("^")]
        node.input[:] = [texts[tensor] for tensor in op.inputs] + controls
    for result, tensor in outputs.items():
        signature.output_arg.add(name=result, type=tensor.dtype.base_dtype.as_datatype_enum)
        message.ret[result] = texts[tensor]
    for target in targets:
        signature.control_output.append(target.name)
        message.control_ret[target.name] = target.name
    signature.is_stateful = any(op.op_def.is_stateful for op in operations)
    return message


def _output_texts(op: Operation) -> list[str]:
    texts: list[str] = []
    for arg in op.op_def.outputs:
        length = 1
        if arg.number_attr is not None:
            length = op.attrs[arg.number_attr]
        elif arg.type_list_attr is not None:
            length = len(op.attrs[arg.type_list_attr])
        texts += [f"{op.name}:{arg.name}:{i}" for i in range(length)]
    return texts


def input_types(function: Any, attrs: Mapping[str, Any]) -> list[DType]:
    """The dtypes of a function's arguments, one by one; ValueError where one is left open."""
    attrs = _with_defaults(function.signature, attrs)
    types: list[DType] = []
    for arg in function.signature.input_arg:
        if arg.type_list_attr:
            types += [as_dtype(number) for number in attrs[arg.type_list_attr].list.type]
        else:
            number = attrs[arg.type_attr].type if arg.type_attr else arg.type
            types += [as_dtype(number)] * len(_span(arg, attrs))
    return types


# --- to operations --------------------------------------------------------------------------------


def instantiate(
    graph: Graph,
    function: Any,
    attrs: Mapping[str, Any],
    arguments: Sequence[Tensor],
    scope: str,
    pivots: Sequence[Operation] = (),
) -> tuple[list[Tensor], list[Operation]]:
    """Write the body of a function into a graph, where it is called.

    Args:
        graph: where the operations go, under the device and controls of its scopes.
        function: the FunctionDef.
        attrs: AttrValue messages for what the function leaves open.
        arguments: of any graph.
        scope: begins the names of the operations; ends with a slash.
        pivots: what operations without inputs wait for, so that they run when the call does.

    Returns:
        The results, and what has effects: it runs whatever is read of the results.

    Raises:
        InvalidArgumentError: the body is not valid, or the arguments do not fit.
        NotFoundError: an op type of it is not known.
    """
    try:
        return _instantiate(graph, function, attrs, arguments, scope, pivots)
    except (ValueError, KeyError, IndexError) as error:
        raise InvalidArgumentError(
            None, None, f"In function '{function.signature.name}': {error}"
        ) from None


def _instantiate(
    graph: Graph,
    function: Any,
    attrs: Mapping[str, Any],
    arguments: Sequence[Tensor],
    scope: str,
    pivots: Sequence[Operation],
) -> tuple[list[Tensor], list[Operation]]:
    attrs = _with_defaults(function.signature, attrs)
    names = [f"{a.name}:{i}" for a in function.signature.input_arg for i in _span(a, attrs)]
    if len(names) != len(arguments):
        raise ValueError(f"it takes {len(names)} inputs, {len(arguments)} were given")
    mapped: dict[tuple[str, int], Tensor] = {}
    for text, tensor in zip(names, arguments, strict=True):
        argument, _, number = text.rpartition(":")
        unique = f"{scope}{argument}" + (f"_{number}" if number != "0" else "")
        identity = ops["Identity"]
        # Its own node: gradients end here, and the same tensor may come in twice.
        op = build_operation(graph, identity, unique, (tensor,), {"T": tensor.dtype.base_dtype})
        mapped[argument, int(number)] = op.outputs[0]
    body = _Body(graph, function, attrs, mapped)
    made = import_nodes(graph, body.message, scope, mapped)
    mark_body(graph, function.signature.name, made.values())
    for op in made.values():
        if not op.inputs and not op.control_inputs:
            op.control_inputs = tuple(pivots)
    results = []
    for result in function.signature.output_arg:
        for i in _span(result, attrs):
            if result.name not in function.ret:
                raise ValueError(f"nothing is returned as '{result.name}'")
            source, index = body.source(function.ret[result.name], i)
            found = mapped.get((source, index))
            results.append(made[source].outputs[index] if found is None else found)
    effects = [made[target] for target in function.control_ret.values()]
    effects += [op for op in made.values() if op.op_def.is_stateful and not _is_source(op)]
    return results, list(dict.fromkeys(effects))


def _is_source(op: Operation) -> bool:
    """Whether an operation has state, and no effect on it by itself: a variable, a queue."""
    return len(op.outputs) == 1 and (
        op.outputs[0].dtype.is_ref or op.outputs[0].dtype.name == "resource"
    )


def _with_defaults(signature: Any, attrs: Mapping[str, Any]) -> dict[str, Any]:
    found = {a.name: a.default_value for a in signature.attr if a.HasField("default_value")}
    return {**found, **attrs}


def _span(arg: Any, attrs: Mapping[str, Any]) -> range:
    if arg.number_attr:
        return range(attrs[arg.number_attr].i)
    if arg.type_list_attr:
        return range(len(attrs[arg.type_list_attr].list.type))
    return range(1)


class _Body:
    """The nodes of a function as those of a GraphDef."""

    def __init__(
        self,
        graph: Graph,
        function: Any,
        attrs: Mapping[str, Any],
        mapped: Mapping[tuple[str, int], Tensor],
    ) -> None:
        self._graph = graph
        self._arguments = {name for name, _ in mapped}
        self._starts: dict[str, dict[str, int]] = {}
        self.message = protos.GraphDef()
        self.message.versions.producer = graph._versions.producer
        for node in function.node_def:
            copy = self.message.node.add()
            copy.CopyFrom(node)
            for value in copy.attr.values():
                if value.WhichOneof("value") == "placeholder":
                    if value.placeholder not in attrs:
                        raise ValueError(f"it needs the attribute '{value.placeholder}'")
                    value.CopyFrom(attrs[value.placeholder])
            self._starts[node.name] = self._outputs_of(copy)
        for node in self.message.node:
            self._drop_outer_groups(node)
            node.input[:] = [
                text if text.startswith("^") else "{}:{}".format(*self.source(text))
                for text in node.input
            ]

    def _drop_outer_groups(self, node: Any) -> None:
        """An argument is no node to be colocated with: what is given for it may lie anywhere."""
        if "_class" in node.attr:
            groups = node.attr["_class"].list.s
            inner = [group for group in groups if group[5:].decode() in self._starts]
            if inner:
                groups[:] = inner
            else:
                del node.attr["_class"]

    def _outputs_of(self, node: Any) -> dict[str, int]:
        """The number of the first tensor of each output of a node."""
        op_def = definition_of(self._graph, node.op)
        if op_def is None:
            raise NotFoundError(None, None, not_registered(node.op))
        starts: dict[str, int] = {}
        start = 0
        for arg in op_def.outputs:
            starts[arg.name] = start
            start += _length(arg, node.attr)
        return starts

    def source(self, text: str, offset: int = 0) -> tuple[str, int]:
        """The node and number of what a FunctionDef calls `text`; ValueError if there is none."""
        name, *rest = text.split(":")
        if name in self._arguments:
            return name, offset + (int(rest[-1]) if rest else 0)
        try:
            start = self._starts[name][rest[0]]
            return name, start + offset + (int(rest[1]) if len(rest) > 1 else 0)
        except (KeyError, IndexError, ValueError):
            raise ValueError(f"it has no '{text}'") from None
