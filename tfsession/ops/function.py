"""Calls of functions, and branches and loops made of functions: `If`, `Case`, `While`.

They have no kernels: `graph.lowering` writes what they stand for when a step needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core import protos
from tfsession.core.dtypes import DType
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.defun import DefinedFunction, Defun
from tfsession.ops.elementwise import add, subtract


def _declared(op: Operation) -> list[Shape]:
    """The shapes that the node itself tells."""
    shapes = op.attrs.get("output_shapes") or []
    return list(shapes) if len(shapes) == len(op.outputs) else [None] * len(op.outputs)


for _name, _is_stateful in (("PartitionedCall", False), ("StatefulPartitionedCall", True)):
    define_op(
        _name,
        ["args: Tin"],
        ["output: Tout"],
        [
            *("Tin: list(type) >= 0", "Tout: list(type) >= 0", "f: func"),
            *("config: string = ''", "config_proto: string = ''", "executor_type: string = ''"),
        ],
        stateful=_is_stateful,
        distributed_communication=_is_stateful,
        graph_only=True,
    )
for _name, _is_stateful in (("If", True), ("StatelessIf", False)):
    define_op(
        _name,
        ["cond: Tcond", "input: Tin"],
        ["output: Tout"],
        [
            *("Tcond: type", "Tin: list(type) >= 0", "Tout: list(type) >= 0"),
            *("then_branch: func", "else_branch: func", "output_shapes: list(shape) = []"),
        ],
        _declared,
        stateful=_is_stateful,
        graph_only=True,
    )
for _name, _is_stateful in (("Case", True), ("StatelessCase", False)):
    define_op(
        _name,
        ["branch_index: int32", "input: Tin"],
        ["output: Tout"],
        [
            *("Tin: list(type) >= 0", "Tout: list(type) >= 0", "branches: list(func) >= 1"),
            "output_shapes: list(shape) = []",
        ],
        _declared,
        stateful=_is_stateful,
        graph_only=True,
    )
for _name, _is_stateful in (("While", True), ("StatelessWhile", False)):
    define_op(
        _name,
        ["input: T"],
        ["output: T"],
        [
            *("T: list(type) >= 0", "cond: func", "body: func"),
            *("output_shapes: list(shape) = []", "parallel_iterations: int = 10"),
        ],
        _declared,
        stateful=_is_stateful,
        graph_only=True,
    )
define_op(
    "SymbolicGradient",
    ["input: Tin"],
    ["output: Tout"],
    ["Tin: list(type) >= 1", "Tout: list(type) >= 1", "f: func"],
    graph_only=True,
)


def _added(function: DefinedFunction) -> Any:
    """The NameAttrList of a function, which the default graph has from now on."""
    function.add_to_graph()
    return protos.NameAttrList(name=function.name)


def If(
    cond: Any,
    inputs: Sequence[Any],
    then_branch: DefinedFunction,
    else_branch: DefinedFunction,
    name: str | None = None,
) -> list[Tensor]:
    """The outputs of one of two functions, for the same inputs; only that one runs.

    Args:
        cond: a scalar: true is a number other than 0, or a text that is not empty.
        inputs: what both functions take.
        then_branch, else_branch: functions made by `Defun`, with outputs of the same types.
        name: of the operation.

    Raises:
        ValueError: a function reads tensors that are not its inputs.
    """
    functions = [_closed(function) for function in (then_branch, else_branch)]
    attrs = {
        "then_branch": _added(functions[0]),
        "else_branch": _added(functions[1]),
        "Tout": functions[0].output_types,
    }
    return list(create_op("If", [cond, list(inputs)], attrs, name=name or "If"))


def While(
    input_: Sequence[Any],
    cond: DefinedFunction,
    body: DefinedFunction,
    name: str | None = None,
    hostmem: Any = None,
) -> list[Tensor]:
    """Repeat `body` while `cond` is true, and give what the variables are then.

    What `body` reads beside its inputs goes round with them; `cond` may read nothing else.

    Args:
        input_: the first values of the variables.
        cond, body: functions made by `Defun` that take the variables.
        name: of the operation.
        hostmem: accepted; where numbers lie follows from their types.

    Raises:
        ValueError: `cond` reads tensors that are not its inputs, or `body` gives other types.
    """
    if cond.captured_inputs:
        raise ValueError(
            "The `cond` argument of a While reads tensors that are not among its inputs: "
            f"{', '.join(t.name for t in cond.captured_inputs)}. Make them inputs."
        )
    values = [convert_to_tensor(value) for value in input_]
    captured = body.captured_inputs
    if captured:
        cond, body = _widened(cond, body, len(values))
    types = [value.dtype.base_dtype for value in (*values, *captured)]
    if list(body.output_types) != types:
        raise ValueError(
            f"The `body` argument of a While gives {list(body.output_types)} for inputs of {types}."
        )
    attrs = {"cond": _added(cond), "body": _added(body)}
    outputs = create_op("While", [[*values, *captured]], attrs, name=name or "While")
    return list(outputs[: len(values)])


def For(
    start: Any,
    limit: Any,
    delta: Any,
    inputs: Sequence[Any],
    body: DefinedFunction,
    name: str | None = None,
    hostmem: Any = None,
    rewrite_with_while: Any = None,
) -> list[Tensor]:
    """`body(i, *inputs)` for i in range(start, limit, delta), its outputs being the next inputs.

    Args:
        start, limit, delta: int32 scalars.
        inputs: the first values of the variables.
        body: a function made by `Defun`.
        name: of the operation.
        hostmem, rewrite_with_while: accepted; it is a `While`.
    """
    values = [convert_to_tensor(value) for value in inputs]
    bounds = [convert_to_tensor(value) for value in (start, limit, delta)]
    types = [value.dtype.base_dtype for value in (*bounds, *values)]
    captured = body.captured_inputs

    def goes_on(i: Tensor, limit: Tensor, delta: Tensor, *variables: Tensor) -> Tensor:
        left, none = subtract(limit, i), subtract(i, i)
        up = create_op("Greater", [delta, none])
        return create_op(  # type: ignore[no-any-return]
            "Select", [up, create_op("Greater", [left, none]), create_op("Less", [left, none])]
        )

    def turn(i: Tensor, limit: Tensor, delta: Tensor, *variables: Tensor) -> list[Tensor]:
        own, others = variables[: len(values)], variables[len(values) :]
        results = body.call_with([i, *own], list(others))
        return [add(i, delta), limit, delta, *results, *others]

    all_types = [*types, *(t.dtype.base_dtype for t in captured)]
    loop = Defun(*all_types, func_name=f"{body.name}_For")(turn)
    condition = Defun(*all_types, func_name=f"{body.name}_ForCond")(goes_on)
    outputs = While([*bounds, *values, *captured], condition, loop, name=name or "For")
    return outputs[3 : 3 + len(values)]


def _closed(function: DefinedFunction) -> DefinedFunction:
    if function.captured_inputs:
        names = ", ".join(tensor.name for tensor in function.captured_inputs)
        raise ValueError(
            f"Function '{function.name}' reads tensors that are not among its inputs: {names}. "
            "Make them inputs of the branch."
        )
    return function


def _widened(
    cond: DefinedFunction, body: DefinedFunction, count: int
) -> tuple[DefinedFunction, DefinedFunction]:
    """Functions of a loop that carries along what its body reads."""
    extra = [tensor.dtype.base_dtype for tensor in body.captured_inputs]
    types: list[DType] = [*body.declared_input_types, *extra]

    def named(name: str, function: Callable[..., Any]) -> DefinedFunction:
        made: DefinedFunction = Defun(*types, func_name=name)(function)
        return made

    return (
        named(f"{cond.name}_WithCaptures", lambda *given: cond.call_with(given[:count], [])),
        named(
            f"{body.name}_WithCaptures",
            lambda *given: [
                *body.call_with(given[:count], list(given[count:])),
                *given[count:],
            ],
        ),
    )
