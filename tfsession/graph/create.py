"""From a builder's arguments to an operation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

from tfsession.core import op_def as op_def_lib
from tfsession.core.dtypes import DType
from tfsession.core.op_def import OpDef
from tfsession.graph import function_graph
from tfsession.graph.attr_forms import check_attr
from tfsession.graph.binding import Binding
from tfsession.graph.build import arg_types, build_operation, mixed_graphs
from tfsession.graph.conversion import convert_to_tensor, register_tensor_conversion_function
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

__all__ = [
    "convert_to_tensor",
    "create_op",
    "create_operation",
    "graph_of",
    "register_tensor_conversion_function",
]


def create_op(
    op_type: str,
    inputs: Sequence[Any] = (),
    attrs: dict[str, Any] | None = None,
    name: str | None = None,
) -> Any:
    """Add an operation; gives its output Tensor, outputs as a namedtuple, or itself if it has none.

    Type and length attributes follow from the inputs; `attrs` holds the rest, None meaning default.
    """
    op = create_operation(op_type, inputs, attrs, name)
    if op.op_def.has_single_output:
        return op.outputs[0]
    return _grouped_outputs(op) if op.op_def.outputs else op


def _grouped_outputs(op: Operation) -> Any:
    """Outputs one by one, list-valued arguments as lists; a single argument stands alone."""
    groups: list[Any] = []
    start = 0
    for arg in op.op_def.outputs:
        if not arg.is_sequence:
            groups.append(op.outputs[start])
            start += 1
            continue
        length = (
            op.attrs[arg.number_attr]
            if arg.number_attr is not None
            else len(op.attrs[arg.type_list_attr or ""])
        )
        groups.append(op.outputs[start : start + length])
        start += length
    return groups[0] if len(groups) == 1 else op.op_def.outputs_tuple(*groups)


def create_operation(
    op_type: str,
    inputs: Sequence[Any] = (),
    attrs: dict[str, Any] | None = None,
    name: str | None = None,
) -> Operation:
    """Add an operation; as `create_op`, but gives the Operation whatever it puts out."""
    op_def = op_def_lib.ops.get(op_type)
    if op_def is None:
        raise RuntimeError(f"Unrecognized Op name {op_type}")
    if function_graph.under_construction:
        inputs = function_graph.brought_in(inputs)
    # The short way: every input is one tensor already, and what follows from their types is known.
    types = tuple([t.dtype.as_datatype_enum for t in inputs if type(t) is Tensor])
    if len(types) == len(inputs):
        plan = op_def.plans.get(types) or _make_plan(op_def, inputs, types)
        if plan is not None:
            all_attrs = plan.attrs.copy() if attrs is None else _with_attrs(op_def, plan, attrs)
            if all_attrs is not None and len(all_attrs) == plan.attr_count:
                graph = inputs[0].op.graph if inputs else get_default_graph()
                for tensor in inputs:
                    if tensor.op.graph is not graph:
                        raise mixed_graphs(inputs[0], tensor)
                unique = _operation_name(graph, name or op_type)
                return build_operation(
                    graph, op_def, unique, tuple(inputs), all_attrs, plan.output_types
                )
    return _create_converting(op_def, inputs, attrs or {}, name or op_type)


class _Plan(NamedTuple):
    """What the types of its inputs say of an operation: see `_make_plan`."""

    attrs: dict[str, Any]  # those that follow, and defaults of the others
    inferred: frozenset[str]
    attr_count: int
    output_types: tuple[DType, ...] | None  # None where they depend on given attributes


def _make_plan(op_def: OpDef, tensors: Sequence[Tensor], types: tuple[int, ...]) -> _Plan | None:
    """The plan for inputs of these types, kept with the definition; None if they do not fit."""
    if not op_def.is_plain or len(tensors) != len(op_def.inputs):
        return None
    inferred: dict[str, Any] = {}
    for arg, tensor in zip(op_def.inputs, tensors, strict=True):
        dtype = tensor.dtype.base_dtype
        if arg.type_attr is None:
            if dtype is not arg.type:
                return None
            continue
        allowed = op_def.attrs[arg.type_attr].allowed
        if inferred.setdefault(arg.type_attr, dtype) is not dtype:
            return None
        if allowed is not None and dtype not in allowed:
            return None
    needed = {n for a in op_def.outputs for n in (a.type_attr, a.number_attr, a.type_list_attr)}
    known = needed - {None} <= inferred.keys()
    plan = _Plan(
        {**op_def.defaults, **inferred},
        frozenset(inferred),
        len(op_def.attrs),
        tuple(arg_types(op_def.outputs, inferred)) if known else None,
    )
    op_def.plans[types] = plan
    return plan


def _with_attrs(op_def: OpDef, plan: _Plan, given: dict[str, Any]) -> dict[str, Any] | None:
    """The attributes of an operation; None where the long way must decide."""
    attrs = plan.attrs.copy()
    for name, value in given.items():
        attr = op_def.attrs.get(name)
        if attr is None or name in plan.inferred:
            return None
        if value is not None or attr.type == "shape":
            attrs[name] = check_attr(op_def, attr, value)
    return attrs


def _operation_name(graph: Graph, name: str) -> str:
    """A name for a new operation, unique unless a slash at its end says to take it as it is."""
    if name.isascii() and name.isidentifier() and name[0] != "_":
        return graph.unique_name(name)
    graph._scopes.check_scope_name(name)
    if name.endswith("/"):
        name = name[:-1]
        with graph._lock:
            graph._names_in_use.setdefault(name.lower(), 1)
        return name
    return graph.unique_name(name)


def graph_of(values: Any) -> Graph:
    """The graph of the first tensor among (nested lists of) values, else the default graph."""
    first = None
    if function_graph.under_construction and get_default_graph().building_function:
        return get_default_graph()
    for value in _flatten(values):
        if isinstance(value, Tensor | Operation) or getattr(value, "graph", None) is not None:
            graph = value.graph
            if first is None:
                first = value
            elif graph is not first.graph:
                raise mixed_graphs(first, value)
    return get_default_graph() if first is None else first.graph


def _flatten(values: Any) -> list[Any]:
    flat = []
    for value in values:
        if isinstance(value, list | tuple):
            flat.extend(_flatten(value))
        else:
            flat.append(value)
    return flat


def _create_converting(
    op_def: OpDef, inputs: Sequence[Any], attrs: dict[str, Any], name: str
) -> Operation:
    graph = graph_of(inputs)
    scopes = graph._scopes
    unique = _operation_name(graph, name)
    previous, scopes.name_prefix = scopes.name_prefix, unique + "/"
    try:
        with graph.as_default():
            binding = Binding(op_def, attrs)
            tensors = binding.bind(inputs)
            if function_graph.under_construction:
                tensors = list(function_graph.brought_in(tensors))
            for tensor in tensors:
                if tensor.op.graph is not graph:
                    raise mixed_graphs(tensors[0], tensor)
    finally:
        scopes.name_prefix = previous
    with ExitStack() as stack:
        for tensor in _references(op_def, tensors):
            stack.enter_context(graph.colocate_with(tensor.op))
        return build_operation(graph, op_def, unique, tuple(tensors), binding.all_attrs())


def _references(op_def: OpDef, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The inputs that the operation may change: it stays where they are."""
    if op_def.is_plain or any(arg.is_sequence for arg in op_def.inputs):
        return []
    return [t for arg, t in zip(op_def.inputs, tensors, strict=True) if arg.is_ref]
