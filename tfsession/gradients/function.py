"""How gradients flow back through calls of functions, and branches and loops made of them.

A gradient computes again what it needs of the forward pass, without what has effects: drawing
random numbers again gives others, as with TensorFlow's `SymbolicGradient`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import DType, bool_, resource
from tfsession.core.rules import gradient, lowering
from tfsession.core.shape import TensorShape
from tfsession.gradients.engine import gradients, is_trainable
from tfsession.gradients.while_loop import dtype_behind
from tfsession.graph.create import create_op
from tfsession.graph.function_def import instantiate
from tfsession.graph.lowering import Writer, lower
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity, zeros, zeros_like
from tfsession.ops.while_loop import while_loop


def _types_of(tensors: Sequence[Tensor]) -> list[DType]:
    """The dtypes of gradients: a handle's is that of its variable."""
    return [dtype_behind(t) if t.dtype is resource else t.dtype.base_dtype for t in tensors]


def _flows_to(tensor: Tensor) -> bool:
    return tensor.dtype is resource or is_trainable(tensor.dtype.base_dtype)


def _given(op: Operation, grads: Sequence[Any]) -> list[Tensor]:
    """A gradient for each output; zeros where none flows."""
    return [
        zeros_like(tensor) if grad is None else grad
        for tensor, grad in zip(op.outputs, grads, strict=True)
    ]


def _only_where_it_flows(tensors: Sequence[Tensor], grads: Sequence[Any]) -> list[Any]:
    return [g if _flows_to(t) else None for t, g in zip(tensors, grads, strict=True)]


# --- calls ----------------------------------------------------------------------------------------


def _called(op: Operation) -> Any:
    """The NameAttrList of the function that an operation calls."""
    if "f" in op.op_def.attrs:
        return op.attrs["f"]
    function = protos.NameAttrList(name=op.type)
    for name, value in op.attrs.items():
        if not name.startswith("_"):
            function.attr[name].CopyFrom(to_attr_value(value, None))
    return function


@gradient("PartitionedCall", "StatefulPartitionedCall")
def call_gradient(op: Operation, *grads: Any) -> Any:
    """The gradients of what a function takes: by its own rule in Python, or from its body."""
    function = _called(op)
    rule = op.graph._python_gradients.get(op.name)
    if rule is not None:
        return rule(op, *grads)
    attrs = {"Tout": _types_of(op.inputs), "f": function}
    results = create_op("SymbolicGradient", [[*op.inputs, *_given(op, grads)]], attrs)
    return _only_where_it_flows(op.inputs, results)


@gradient("SymbolicGradient")
def _symbolic_gradient(op: Operation, *grads: Any) -> list[Any]:
    function = _gradient_function(op, op.attrs["f"], op.inputs, _types_of(op.outputs))
    attrs = {"Tout": _types_of(op.inputs), "f": function}
    results = create_op("SymbolicGradient", [[*op.inputs, *_given(op, grads)]], attrs)
    return _only_where_it_flows(op.inputs, results)


def _gradient_function(
    op: Operation, function: Any, taken: Sequence[Tensor], types: Sequence[DType]
) -> Any:
    """The NameAttrList of a function that computes gradients of another, put into the graph.

    Args:
        op: calls the function.
        function: its NameAttrList.
        taken: what the gradient function takes: inputs, then gradients of outputs.
        types: the dtypes of the gradients.
    """
    message = protos.FunctionDef()
    signature = message.signature
    node = message.node_def.add(name="gradient", op="SymbolicGradient")
    for i, tensor in enumerate(taken):
        dtype = tensor.dtype.base_dtype.as_datatype_enum
        signature.input_arg.add(name=f"x{i}", type=dtype)
        node.attr["Tin"].list.type.append(dtype)
        node.input.append(f"x{i}")
    for i, dtype in enumerate(types):
        signature.output_arg.add(name=f"d{i}", type=dtype.as_datatype_enum)
        node.attr["Tout"].list.type.append(dtype.as_datatype_enum)
        message.ret[f"d{i}"] = f"gradient:output:{i}"
    node.attr["f"].func.CopyFrom(function)
    functions = op.graph._functions
    name = f"{function.name}_grad"
    number = 0
    while True:
        signature.name = f"{name}_{number}" if number else name
        if functions.setdefault(signature.name, message) == message:
            return protos.NameAttrList(name=signature.name)
        number += 1


@lowering("SymbolicGradient")
def _differentiated(writer: Writer) -> list[Tensor]:
    """The body of a function, and what computes gradients through it."""
    op, graph, scope = writer.op, writer.graph, writer.scope
    name_attrs = op.attrs["f"]
    function = writer.function(name_attrs.name)
    count = len(op.inputs) - len(function.signature.output_arg)
    given = [writer.identity(f"{scope}input_{i}", t) for i, t in enumerate(op.inputs)]
    inputs, grads = given[:count], given[count:]
    own = graph._function_gradients.get(name_attrs.name)
    if own is not None:
        return writer.call(own.gradient_func, name_attrs.attr, scope, given, writer.pivots())
    before = graph._version
    outputs, _ = instantiate(graph, function, name_attrs.attr, inputs, scope, writer.pivots())
    made = list(islice(reversed(graph._ops.values()), graph._version - before))
    # What is itself a gradient is differentiated as the operations that it stands for.
    inner: dict[Tensor, Tensor] = {}
    for other in reversed(made):
        if other.type == "SymbolicGradient":
            inner.update(zip(other.outputs, lower(other, graph).outputs, strict=True))
    if inner:
        for other in made:
            other.inputs = tuple([inner.get(tensor, tensor) for tensor in other.inputs])
        outputs = [inner.get(tensor, tensor) for tensor in outputs]
    pairs = [(y, g) for y, g in zip(outputs, grads, strict=True) if is_trainable(y.dtype)]
    with graph.name_scope(f"{scope}gradients/"):
        found = [None] * count
        if pairs:
            found = gradients([y for y, _ in pairs], inputs, [g for _, g in pairs])
        return [
            _zeros_for(tensor) if grad is None else create_op("Identity", [grad])
            for tensor, grad in zip(inputs, found, strict=True)
        ]


def _zeros_for(tensor: Tensor) -> Tensor:
    if tensor.dtype is not resource:
        return zeros_like(tensor)
    return zeros(create_op("VariableShape", [tensor]), dtype_behind(tensor))


# --- branches -------------------------------------------------------------------------------------


@gradient("If", "StatelessIf")
def _if(op: Operation, *grads: Any) -> list[Any]:
    taken = [*op.inputs[1:], *_given(op, grads)]
    types = _types_of(op.inputs[1:])
    attrs = {
        branch: _gradient_function(op, op.attrs[branch], taken, types)
        for branch in ("then_branch", "else_branch")
    }
    results = create_op(op.type, [op.inputs[0], taken], {**attrs, "Tout": types})
    return [None, *_only_where_it_flows(op.inputs[1:], results)]


@gradient("Case", "StatelessCase")
def _case(op: Operation, *grads: Any) -> list[Any]:
    taken = [*op.inputs[1:], *_given(op, grads)]
    types = _types_of(op.inputs[1:])
    branches = [_gradient_function(op, f, taken, types) for f in op.attrs["branches"]]
    results = create_op(op.type, [op.inputs[0], taken], {"branches": branches, "Tout": types})
    return [None, *_only_where_it_flows(op.inputs[1:], results)]


# --- loops ----------------------------------------------------------------------------------------


@gradient("While", "StatelessWhile")
def _while(op: Operation, *grads: Any) -> list[Any]:
    """The loop once more, as one whose turns are kept, and the loop back through these."""
    body = op.graph._functions[op.attrs["body"].name]
    names = [argument.name for argument in body.signature.input_arg]
    results = [body.ret[result.name] for result in body.signature.output_arg]
    # What stays the same is read by every turn, and need not go round.
    goes_round = [i for i, pair in enumerate(zip(names, results, strict=True)) if len({*pair}) > 1]
    xs = [identity(tensor) for tensor in op.inputs]
    call = "StatefulPartitionedCall" if op.op_def.is_stateful else "PartitionedCall"

    def called(attr: str, variables: Sequence[Tensor], types: list[DType]) -> list[Tensor]:
        values = list(xs)
        for i, variable in zip(goes_round, variables, strict=True):
            values[i] = variable
        return list(create_op(call, [values], {"f": op.attrs[attr], "Tout": types}))

    types = [tensor.dtype.base_dtype for tensor in op.inputs]

    def turn(*variables: Tensor) -> list[Tensor]:
        outputs = called("body", variables, types)
        return [outputs[i] for i in goes_round]

    def goes_on(*variables: Tensor) -> Tensor:
        return called("cond", variables, [bool_])[0]

    invariants = [TensorShape(None)] * len(goes_round)
    outputs = while_loop(
        goes_on, turn, [xs[i] for i in goes_round], invariants, return_same_structure=True
    )
    pairs = [
        (output, grads[i])
        for i, output in zip(goes_round, outputs, strict=True)
        if grads[i] is not None and is_trainable(output.dtype)
    ]
    found: list[Any] = [None] * len(xs)
    if pairs:
        found = gradients([y for y, _ in pairs], xs, [g for _, g in pairs])
    # What goes through untouched hands its gradient on.
    for i, grad in enumerate(grads):
        if i not in goes_round and grad is not None:
            found[i] = grad if found[i] is None else found[i] + grad
    return _only_where_it_flows(op.inputs, found)
