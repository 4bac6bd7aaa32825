"""Loops: `while_loop`, as a graph of Enter, Merge, Switch, NextIteration and Exit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.core.shape import Shape, TensorShape, shape_text, to_shape
from tfsession.graph import composite
from tfsession.graph.context import WhileContext, is_loop_constant, switch
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.graph import Graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import less, logical_and
from tfsession.ops.cond import merge
from tfsession.ops.constant import constant, identity
from tfsession.ops.tensor_array import TensorArray


@export("while_loop")
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any = None,
    parallel_iterations: int = 10,
    back_prop: bool = True,
    swap_memory: bool = False,
    name: str | None = None,
    maximum_iterations: Any = None,
    return_same_structure: bool = False,
) -> Any:
    """Repeat `body` while `cond` holds, and give what the loop variables are then.

    Both functions are called once, now: they build what each iteration runs.

    Args:
        cond: takes the loop variables, gives a bool scalar tensor.
        body: takes the loop variables, gives their next values in the same structure.
        loop_vars: a list or tuple of (nests of) tensors: the first values.
        shape_invariants: the shapes that hold for each variable in all iterations, in the
            structure of `loop_vars`; the shapes of the first values when None.
        parallel_iterations: accepted; iterations run one after another.
        back_prop: whether gradients flow back through the loop.
        swap_memory: accepted; what gradients need of each iteration stays where it was made.
        name: name scope of the operations.
        maximum_iterations: an int scalar; the loop ends after so many iterations.
        return_same_structure: give a list or tuple also for one variable.

    Raises:
        TypeError: a function is no function, `parallel_iterations` is under 1, or `body` gives
            another dtype.
        ValueError: there are no variables, or `body` gives another structure or shape.

    Example:
        `i, total = tf.while_loop(lambda i, t: i < n, lambda i, t: (i + 1, t + i), [0, 0])`
    """
    graph = graph_of(nest.flatten(loop_vars))
    with graph.as_default(), graph.name_scope(name or "while"):
        if not loop_vars:
            raise ValueError("'loop_vars' must be provided.")
        for argument, function in (("cond", cond), ("body", body)):
            if not callable(function):
                raise TypeError(f"'{argument}' must be callable.")
        if parallel_iterations < 1:
            raise TypeError("'parallel_iterations' must be a positive integer.")
        packs = len(loop_vars) == 1 and not return_same_structure
        if maximum_iterations is not None:
            cond, body, loop_vars, shape_invariants = _counted(
                cond, body, loop_vars, shape_invariants, maximum_iterations, packs
            )
        context_name = graph.unique_name("while_context")
        context = WhileContext(graph, context_name, parallel_iterations, back_prop, swap_memory)
        if context.outer_context is None:
            graph.add_to_collection(GraphKeys.WHILE_CONTEXT, context)
        given, exits = _build(graph, context, cond, body, loop_vars, shape_invariants)
    result = composite.pack(given, exits)
    if maximum_iterations is not None:
        return result[1]
    return result[0] if packs else result


def _counted(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any,
    maximum_iterations: Any,
    packs: bool,
) -> tuple[Callable[..., Any], Callable[..., Any], Any, Any]:
    """The same loop with a counter in front of its variables."""
    limit = convert_to_tensor(maximum_iterations, name="maximum_iterations")
    if limit._shape is not None and limit._shape != ():
        raise ValueError(
            f"'maximum_iterations' must be a scalar. Received shape: {shape_text(limit._shape)}"
        )
    counter = constant(0, dtype=limit.dtype, name="iteration_counter")
    variables = loop_vars[0] if packs else loop_vars
    invariants = None
    if shape_invariants is not None:
        invariants = (TensorShape(()), shape_invariants[0] if packs else shape_invariants)

    def counted_cond(count: Any, inner: Any) -> Any:
        return logical_and(less(count, limit), cond(inner) if packs else cond(*inner))

    def counted_body(count: Any, inner: Any) -> Any:
        return count + 1, body(inner) if packs else body(*inner)

    return counted_cond, counted_body, (counter, variables), invariants


def _build(
    graph: Graph,
    context: WhileContext,
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    shape_invariants: Any,
) -> tuple[Any, list[Tensor]]:
    """Build the loop; gives what `body` returned, and the outputs of the Exits."""
    variables = composite.map_leaves(convert_to_tensor, loop_vars)
    firsts = composite.flatten(variables)
    invariants = _invariants(shape_invariants, nest.flatten(variables))
    with context.entered():
        enters = _enter(context, firsts, invariants)
        merges = [merge([tensor, tensor]) for tensor in enters]
        context.pivot_for_pred = merges[0]
        going_on = convert_to_tensor(cond(*composite.pack(variables, merges)))
        going_on = context.going_on = create_op("LoopCond", [going_on], name="LoopCond")
        ways = [switch(tensor, going_on) for tensor in merges]
        inside = [identity(way[1]) for way in ways]
        context.pivot_for_body = inside[0]
        packed = composite.pack(variables, inside)
        given = body(*packed)
        if not nest.is_nested(given):
            given = [given]
        composite.check_same(list(packed), list(given))
        nexts = [convert_to_tensor(value) for value in composite.flatten(given)]
        for merged, value in zip(merges, nexts, strict=True):
            _close(merged, value)
        exits = [_exit(way[0]) for way in ways]
    context.exits = exits
    if context.outer_context is not None:
        context.outer_context.values.update(exits)
    return given, exits


def _invariants(shape_invariants: Any, variables: Sequence[Any]) -> list[Shape] | None:
    """The shapes that hold for each component of each variable; None for those they come with."""
    asked: list[Any] = [None] * len(variables)
    if shape_invariants is not None:
        asked = nest.flatten(shape_invariants)
        for shape in asked:
            if shape is not None and not isinstance(shape, TensorShape):
                raise TypeError(
                    f"'shape' must be one of TypeSpec, TensorShape or None. Received: {type(shape)}"
                )
        if len(asked) != len(variables):
            raise ValueError(
                f"'shape_invariants' has {len(asked)} shapes for {len(variables)} loop variables."
            )
    elif all(isinstance(variable, Tensor) for variable in variables):
        return None
    pairs = zip(variables, asked, strict=True)
    return [shape for variable, wanted in pairs for shape in _shapes_of(variable, wanted)]


def _shapes_of(variable: Any, asked: TensorShape | None) -> list[Shape]:
    """The shapes of the components; how many elements are stored may change in a loop."""
    if isinstance(variable, Tensor):
        return [variable._shape if asked is None else to_shape(asked)]
    if isinstance(variable, TensorArray):
        return [variable.flow._shape if asked is None else to_shape(asked)]
    dense = to_shape(variable.shape if asked is None else asked)
    rank = None if dense is None else len(dense)
    if isinstance(variable, SparseTensor):
        return [(None, rank), (None,), (rank,)]
    if isinstance(variable, IndexedSlices):
        count = variable.indices._shape
        rows = variable.values._shape
        if dense is not None and count is not None:
            rows = count + dense[1:]
        return [rows, count, (rank,)][: len(composite.components_of(variable))]
    return [part._shape for part in composite.components_of(variable)]


def _enter(
    context: WhileContext, firsts: Sequence[Tensor], invariants: Sequence[Shape] | None
) -> list[Tensor]:
    """Bring the first values into the loop."""
    outer = context.outer_context
    outside = list(firsts) if outer is None else [outer.add_value(t) for t in firsts]
    with context.graph.control_dependencies(None):
        enters = [context.enter(tensor, is_constant=False) for tensor in outside]
    if outer is not None:
        for tensor in enters:
            if is_loop_constant(tensor.op.inputs[0]):
                tensor.op.control_inputs = (outer.pivot.op,)
        context.graph._encoded = None
    context.wait_outside(enters)
    if invariants is not None:
        for tensor, shape in zip(enters, invariants, strict=True):
            _check_invariant(tensor, shape)
            tensor._shape = shape
    context.values = set(enters)
    context.enters = enters
    return enters


def _check_invariant(tensor: Tensor, shape: Shape) -> None:
    if not _is_special_case(tensor._shape, shape):
        raise ValueError(
            f"The shape invariant specified for {tensor.op.inputs[0].name} is not compatible with "
            f"the initial shape of the loop variable. It enters the loop with shape "
            f"{shape_text(tensor._shape)}, but the specified shape invariant is "
            f"{shape_text(shape)}."
        )


def _is_special_case(shape: Shape, general: Shape) -> bool:
    """Whether all tensors of `shape` are of the shape `general`."""
    if general is None:
        return True
    if shape is None or len(shape) != len(general):
        return False
    return all(g is None or g == s for s, g in zip(shape, general, strict=True))


def _close(merged: Tensor, value: Tensor) -> None:
    """Let the next value of a variable go round."""
    first = merged.op.inputs[0].op.inputs[0]
    if value.dtype.base_dtype is not merged.dtype.base_dtype:
        raise TypeError(
            f"Input tensor '{first.name}' enters the loop with type {merged.dtype.name}, but has "
            f"type {value.dtype.name} after one iteration."
        )
    kind = "RefNextIteration" if merged.dtype.is_ref else "NextIteration"
    back = create_op(kind, [value])
    if not _is_special_case(back._shape, merged._shape):
        raise ValueError(
            f"Input tensor '{first.name}' enters the loop with shape {shape_text(first._shape)}, "
            f"but has shape {shape_text(back._shape)} after one iteration. To allow the shape to "
            "vary across iterations, use the `shape_invariants` argument of tf.while_loop to "
            "specify a less-specific shape."
        )
    merged.op._update_input(1, back)


def _exit(tensor: Tensor) -> Tensor:
    kind = "RefExit" if tensor.dtype.is_ref else "Exit"
    output: Tensor = create_op(kind, [tensor])
    return output
