"""tf.gradients: reverse-mode differentiation by adding operations to the graph.

Operations between xs and ys are visited once all their consumers were; each one's rule turns the
gradients of its outputs into gradients of its inputs. Orders and names follow TensorFlow's, so that
graphs and the variables that optimizers make of them are called the same.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from typing import Any

from tfsession.core import dtypes, nest
from tfsession.core.dtypes import DType
from tfsession.core.exports import export
from tfsession.core.rules import caller_site
from tfsession.core.rules import gradients as rules
from tfsession.core.shape import is_compatible, merge
from tfsession.gradients.while_loop import LoopGradients, dtype_behind, is_loop_switch
from tfsession.graph.composite import components_of
from tfsession.graph.context import CondContext
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.nesting import EXITS
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import fill, identity, tuple_, zeros, zeros_like
from tfsession.ops.elementwise import add_n
from tfsession.ops.join import concat
from tfsession.ops.shape import shape as shape_of

Gradient = Tensor | IndexedSlices | None

_TRAINABLE = frozenset(
    {
        dtypes.float16,
        dtypes.bfloat16,
        dtypes.float32,
        dtypes.float64,
        dtypes.complex64,
        dtypes.complex128,
        dtypes.resource,
        dtypes.variant,
    }
)


@export("UnconnectedGradients")
class UnconnectedGradients(Enum):
    """What `tf.gradients` gives for an x that no y depends on."""

    NONE = "none"
    ZERO = "zero"


@export("AggregationMethod")
class AggregationMethod:
    """How several gradients of one tensor are summed; all ways give one AddN here."""

    ADD_N = 0
    DEFAULT = ADD_N
    EXPERIMENTAL_TREE = 1
    EXPERIMENTAL_ACCUMULATE_N = 2


@export("RegisterGradient")
class RegisterGradient:
    """A decorator that registers `f(op, *grads)` as the gradient of an op type or override name."""

    def __init__(self, op_type: str) -> None:
        if not isinstance(op_type, str):
            raise TypeError("op_type must be a string")
        self._op_type = op_type

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Register `f` and give it back."""
        if self._op_type in rules:
            raise KeyError(
                f"Registering two gradient with name '{self._op_type}'! (Previous registration was "
                f"in {rules.site(self._op_type)})"
            )
        rules.register(self._op_type, f, caller_site())
        return f


@export("NotDifferentiable", "no_gradient", "NoGradient")
def not_differentiable(op_type: str) -> None:
    """Say that no gradient flows back through operations of this type."""
    if not isinstance(op_type, str):
        raise TypeError("op_type must be a string")
    rules.register(op_type, None, caller_site())


@export("gradients")
def gradients(
    ys: Any,
    xs: Any,
    grad_ys: Any = None,
    name: str | None = "gradients",
    colocate_gradients_with_ops: bool = False,
    gate_gradients: bool = False,
    aggregation_method: int | None = None,
    stop_gradients: Any = None,
    unconnected_gradients: UnconnectedGradients = UnconnectedGradients.NONE,
) -> list[Gradient]:
    """The sum over ys of dy/dx, for each x in xs.

    Args:
        ys: tensor, or list of tensors, to differentiate.
        xs: tensor or variable, or a list of them, to differentiate by.
        grad_ys: gradients of each y; ones where None.
        name: scope of the operations made.
        colocate_gradients_with_ops: place each gradient where its operation is.
        gate_gradients: let no gradient of an operation be used before all are computed.
        aggregation_method: one of AggregationMethod's values.
        stop_gradients: tensors through which nothing flows back.
        unconnected_gradients: None or zeros for an x that no y depends on.

    Returns:
        For each x a Tensor, IndexedSlices, or None.

    Raises:
        LookupError: an operation on the way has no gradient.
        TypeError: ys of a dtype that needs grad_ys, or of one without gradients.
        ValueError: grad_ys do not match ys.
    """
    unconnected = UnconnectedGradients(unconnected_gradients)
    targets, sources = nest.flatten(ys), [_source_tensor(x) for x in _as_list(xs)]
    graph = _graph_of(targets)
    name = "gradients" if name is None else name
    with graph.as_default(), graph.name_scope(name) as scope:
        outputs = [_dense_or_slices(y) for y in targets]
        engine = _Engine(graph, scope, colocate_gradients_with_ops, gate_gradients)
        seeds = engine.seeds(outputs, _as_list(grad_ys, len(outputs)))
        stops = (
            [_source_tensor(t) for t in _as_list(stop_gradients)]
            if stop_gradients is not None
            else []
        )
        engine.propagate(outputs, sources, seeds, stops)
        results = [engine.gradient_of(x) for x in sources]
        if unconnected is UnconnectedGradients.ZERO:
            results = [
                zeros_like(x) if g is None else g for x, g in zip(sources, results, strict=True)
            ]
    return results


def _as_list(values: Any, length: int = 0) -> list[Any]:
    if values is None:
        return [None] * length
    return list(values) if isinstance(values, list | tuple) else [values]


def _graph_of(values: Sequence[Any]) -> Graph:
    for value in values:
        graph = getattr(value, "graph", None)
        if isinstance(graph, Graph):
            return graph
    return get_default_graph()


def _source_tensor(x: Any) -> Any:
    """What the consumers of `x` take: a resource variable's handle, a reference, or the tensor."""
    if isinstance(x, IndexedSlices):
        return x.values
    handle = getattr(x, "handle", None)
    if isinstance(handle, Tensor) and handle.dtype is dtypes.resource:
        return handle
    return convert_to_tensor(x, as_ref=True)


def _dense_or_slices(y: Any) -> Tensor:
    return y.values if isinstance(y, IndexedSlices) else convert_to_tensor(y)


def is_trainable(dtype: DType) -> bool:
    """Whether gradients of this dtype exist."""
    return dtype.base_dtype in _TRAINABLE


class _Engine:
    """One call of `gradients`: what has arrived for each tensor, and how many are still to come."""

    def __init__(self, graph: Graph, scope: str, colocate: bool, gate: bool) -> None:
        self._graph = graph
        self._scope = scope
        self._colocate = colocate
        self._gate = gate
        self._arrived: dict[Tensor, list[Any]] = {}
        self._pending: dict[Operation, int] = {}
        self._sources: set[Operation] = set()
        self._loops: LoopGradients | None = None

    def seeds(self, ys: Sequence[Tensor], grad_ys: Sequence[Any]) -> list[Any]:
        """The gradients to start from."""
        if len(grad_ys) != len(ys):
            raise ValueError(f"Length mismatch. Passed {len(grad_ys)} grad_ys for {len(ys)} ys")
        return [self._seed(i, y, g) for i, (y, g) in enumerate(zip(ys, grad_ys, strict=True))]

    def _seed(self, index: int, y: Tensor, grad: Any) -> Any:
        dtype = y.dtype.base_dtype
        if grad is None:
            if dtype.is_complex:
                raise TypeError(
                    f"Gradients of complex tensors ({y}) must set grad_ys (y.dtype = {dtype.name})"
                )
            with _colocation(self._graph, y.op, self._colocate):
                one = 1 if dtype.is_integer else 1.0
                return fill(shape_of(y), _constant_of(one, dtype, index), name=f"grad_ys_{index}")
        if not isinstance(grad, IndexedSlices):
            grad = convert_to_tensor(grad, name="grad_y")
        found = grad.dtype.base_dtype
        if dtype.is_floating or dtype.is_integer:
            if not found.is_floating and not found.is_integer:
                raise TypeError(
                    f"Gradient type {found.name} generated for real or integer-valued tensor {y} "
                    f"with type {dtype.name} must be real or integer"
                )
        elif dtype.is_complex:
            if not found.is_complex:
                raise TypeError(
                    f"Gradient type {found.name} generated for complex-valued tensor {y} with type "
                    f"{dtype.name} must be real"
                )
        else:
            raise TypeError(
                f"Tensor {y} with type {dtype.name} must be numeric to obtain a default gradient"
            )
        # Under a name of this call, by which gradients of TensorArrays know it.
        if not isinstance(grad, IndexedSlices):
            return identity(grad, f"grad_ys_{index}")
        names = ("values", "indices", "shape")
        return IndexedSlices(
            *[
                identity(part, f"grad_ys_{index}_{name}")
                for part, name in zip(components_of(grad), names, strict=False)
            ]
        )

    def propagate(
        self,
        ys: Sequence[Tensor],
        xs: Sequence[Tensor],
        seeds: Sequence[Any],
        stops: Sequence[Tensor],
    ) -> None:
        """Visit every operation between xs and ys, consumers first."""
        between = _between(ys, xs)
        if self._graph._has_loops:
            between += self._find_loops(ys, between)
        self._sources.update(x.op for x in xs)
        pending = self._pending = dict.fromkeys(between, 0)
        for op in between:
            for tensor in op.inputs:
                if tensor.op in pending:
                    pending[tensor.op] += 1
        for y, seed in zip(ys, seeds, strict=True):
            self._arrived.setdefault(y, []).append(seed)
        queue = deque(op for op in dict.fromkeys(y.op for y in ys) if pending.get(op) == 0)
        if self._loops is not None:
            for tensor in self._loops.begin(pending, set(queue)):
                if is_trainable(tensor.dtype):
                    self._arrived.setdefault(tensor, []).append(self._loops.zeros_of_exit(tensor))
                    queue.append(tensor.op)
        stopped = {t.op for t in stops}
        stopped.update(
            op for op in self._sources if not any(pending.get(t.op, 0) > 0 for t in op.inputs)
        )
        keep = set(xs)
        while queue:
            op = queue.popleft()
            with _colocation(self._graph, op, self._colocate):
                self._visit(op, op in stopped, keep)
            for tensor in op.inputs:
                if tensor.op in pending:
                    queue.extend(self._ready(tensor))
        if self._loops is not None:
            self._loops.finish()

    def _find_loops(self, ys: Sequence[Tensor], between: Sequence[Operation]) -> list[Operation]:
        """Make loops of gradients; gives the exits of loops that are not between xs and ys."""
        found = set(between)
        more: list[Operation] = []
        for op in _exits(ys, found):
            if self._loops is None:
                self._loops = LoopGradients()
            with _colocation(self._graph, op, self._colocate):
                exits = [tensor.op for tensor in self._loops.add(op)]
            more += [other for other in exits if other not in found]
            found.update(more)
        return more

    def _ready(self, tensor: Tensor) -> list[Operation]:
        """What can be visited now that a reader of a tensor was: the operation that makes it."""
        op, loops, pending = tensor.op, self._loops, self._pending
        pending[op] -= 1
        if loops is None:
            return [] if pending[op] else [op]
        # The Switch of a loop comes twice: first behind the Exit, then behind the iteration.
        if pending[op] and not (pending[op] > 0 and is_loop_switch(op)):
            return []
        state = loops.of(op) if op.type in EXITS else None
        if state is None:
            return [op]
        # Exits wait for each other: zeros flow through some of them if others have a gradient.
        state.deferred.append(tensor)
        state.missing -= 1
        if state.missing:
            return []
        used = [t.op for t in state.deferred if any(map(self._arrived.get, t.op.outputs))]
        state.unused += [t for t in state.deferred if t.op not in used]
        for unused in state.unused if used else ():
            if is_trainable(unused.dtype):
                self._arrived.setdefault(unused, []).append(loops.zeros_of_exit(unused))
        return used + [t.op for t in state.unused]

    def _visit(self, op: Operation, stopped: bool, keep: set[Tensor]) -> None:
        loops = self._loops
        if loops is None:
            self._go_through(op, [self._take(t, keep) for t in op.outputs], stopped)
            return
        with loops.before(op):
            grads = [self._take(tensor, keep) for tensor in op.outputs]
        with loops.around(op):
            self._go_through(op, grads, stopped)

    def _go_through(self, op: Operation, grads: list[Any], stopped: bool) -> None:
        """Let the gradients of its outputs become those of the inputs of an operation."""
        if stopped or all(g is None for g in grads):
            return
        rule = _rule_of(op)
        context = self._graph._scopes.control_flow_context
        if context is not None and context is op._control_flow_context and is_loop_switch(op):
            raise ValueError(
                f"Cannot compute gradient inside while loop with respect to op '{self._goal(op)}'."
                " We do not support taking the gradient wrt or through the initial value of a loop "
                "variable. Gradients can be computed through loop invariants or wrt the input "
                "parameters to the loop body."
            )
        if rule is None:
            return
        for index, tensor in enumerate(op.outputs):
            if grads[index] is None and is_trainable(tensor.dtype):
                grads[index] = self._zeros_of(tensor)
        with self._graph.name_scope(op.name + "_grad"):
            results = rule(op, *grads)
            results = list(results) if isinstance(results, list | tuple) else [results]
            if len(results) != len(op.inputs):
                raise ValueError(
                    f"Num gradients {len(results)} generated for op {op.node_def} do not match num "
                    f"inputs {len(op.inputs)}"
                )
            if self._gate and sum(g is not None for g in results) > 1:
                with self._graph.device(None):
                    results = list(tuple_(results))
        for tensor, grad in zip(op.inputs, results, strict=True):
            if grad is not None:
                _check_and_refine(op, tensor, grad)
                self._arrived.setdefault(tensor, []).append(grad)

    def _goal(self, op: Operation) -> str:
        """The name of the nearest x that an operation depends on."""
        found = dict.fromkeys([op])
        queue = deque(found)
        while queue:
            other = queue.popleft()
            if other in self._sources:
                return other.name
            queue.extend(t.op for t in other.inputs if t.op not in found)
            found.update(dict.fromkeys(t.op for t in other.inputs))
        return op.name

    def _zeros_of(self, tensor: Tensor) -> Tensor | None:
        """The gradient of an output to which none came back."""
        state = None if self._loops is None else self._loops.of(tensor.op)
        if self._loops is not None and state is not None:
            return self._loops.zeros_of(tensor, state)
        return _zeros_of(tensor)

    def _take(self, tensor: Tensor, keep: set[Tensor]) -> Any:
        """The sum of what arrived for a tensor; kept only where it is asked for at the end."""
        grads = self._arrived.get(tensor)
        if not grads:
            return None
        total = self._sum(grads)
        if tensor in keep:
            self._arrived[tensor] = [total]
        else:
            del self._arrived[tensor]
        return total

    def _sum(self, grads: list[Any]) -> Any:
        if len(grads) == 1:
            return grads[0]
        if all(isinstance(g, IndexedSlices) for g in grads):
            return _concatenated(grads)
        # A dense one among them makes the sum dense.
        with self._graph.colocate_with(grads[0].op, ignore_existing=True), self._at_scope():
            return add_n([convert_to_tensor(g) for g in grads])

    @contextmanager
    def _at_scope(self) -> Iterator[None]:
        with self._graph.name_scope(self._scope):
            yield

    def gradient_of(self, x: Tensor) -> Gradient:
        """What arrived at `x` in the end."""
        grads = self._arrived.get(x)
        if not grads:
            return None
        total = self._sum(grads)
        self._arrived[x] = [total]
        return total  # type: ignore[no-any-return]


def _constant_of(one: float, dtype: DType, index: int) -> Tensor:
    return convert_to_tensor(one, dtype, name=f"grad_ys_{index}/Const")


def _colocation(graph: Graph, op: Operation, wanted: bool) -> AbstractContextManager[Any]:
    return graph.colocate_with(op) if wanted else contextlib.nullcontext()


def _rule_of(op: Operation) -> Callable[..., Any] | None:
    override = op.attrs.get("_gradient_op_type")
    name = override.decode() if override else op.type
    if name in op.graph._functions:
        name = "PartitionedCall"
    if name not in rules:
        raise LookupError(
            f"No gradient defined for operation '{op.name}' (op type: {op.type}). In general every "
            "operation must have an associated rule: register one with tf.RegisterGradient, or say "
            "that there is none with tf.no_gradient."
        )
    return rules[name]


def _between(ys: Sequence[Tensor], xs: Sequence[Tensor]) -> list[Operation]:
    """The operations from which a y can be reached, and that can be reached from an x.

    From operation to operation only tensors lead that can have gradients: integers do not.
    """
    ancestors: set[Operation] = {y.op for y in ys}
    stack = list(ancestors)
    readers: dict[Operation, list[Operation]] = {}
    while stack:
        op = stack.pop()
        for tensor in op.inputs:
            if is_trainable(tensor.dtype):
                readers.setdefault(tensor.op, []).append(op)
            if tensor.op not in ancestors:
                ancestors.add(tensor.op)
                stack.append(tensor.op)
    reached = {x.op for x in xs if x.op in ancestors}
    stack = list(reached)
    while stack:
        for reader in readers.get(stack.pop(), ()):
            if reader not in reached:
                reached.add(reader)
                stack.append(reader)
    # Back from the ys again: what is reached may lead to a y through integers alone.
    between = {y.op for y in ys if y.op in reached}
    stack = list(between)
    while stack:
        for tensor in stack.pop().inputs:
            op = tensor.op
            if op in reached and op not in between and is_trainable(tensor.dtype):
                between.add(op)
                stack.append(op)
    return sorted(between, key=lambda op: op._id)


def _exits(ys: Sequence[Tensor], between: Collection[Operation]) -> list[Operation]:
    """The operations that leave loops, those near to the ys first."""
    found = dict.fromkeys(y.op for y in ys)
    queue = deque(found)
    while queue:
        op = queue.popleft()
        if op in between:
            sources = dict.fromkeys(t.op for t in op.inputs if t.op not in found)
            found |= sources
            queue.extend(sources)
    return [op for op in found if op.type in EXITS and op in between]


def _zeros_of(tensor: Tensor) -> Tensor:
    """The gradient of an output to which none came back.

    For what a Switch brings into a branch, the zeros belong to the other branch.
    """
    op: Operation = tensor.op
    context = op._control_flow_context
    if op.type not in ("Switch", "RefSwitch") or not isinstance(context, CondContext):
        is_handle = tensor.dtype is dtypes.resource
        # Gradients know these by their type, also where the shape is static.
        return _zeros_like_variable(tensor) if is_handle else zeros_like(tensor, optimize=False)
    other = create_op("Switch", [op.inputs[0], context.pred])[1 - context.branch]
    pivot = identity(other)
    if tensor.dtype is dtypes.resource:
        with tensor.graph.control_dependencies([pivot]):
            return _zeros_like_variable(other)
    shape = create_op("Shape", [other])
    with tensor.graph.control_dependencies([pivot]):
        return zeros(shape, tensor.dtype)


def _zeros_like_variable(handle: Tensor) -> Tensor:
    return zeros(create_op("VariableShape", [handle]), dtype_behind(handle))


def _check_and_refine(op: Operation, tensor: Tensor, grad: Any) -> None:
    """Give a gradient the static shape of its tensor, which it must have."""
    if not isinstance(grad, Tensor) or tensor.dtype is dtypes.resource:
        return
    if grad._shape == tensor._shape:
        return
    if not is_compatible(grad._shape, tensor._shape):
        raise ValueError(
            "Incompatible shapes between op input and calculated input gradient. Forward "
            f"operation: {op.name}. Input: {tensor.name}. Original input shape: {tensor.shape}. "
            f"Calculated input gradient shape: {grad.shape}"
        )
    grad._shape = merge(grad._shape, tensor._shape)


def _concatenated(slices: list[IndexedSlices]) -> IndexedSlices:
    """Several gradients of one tensor as one IndexedSlices."""
    types = {s.indices.dtype for s in slices}
    if len(types) > 1:
        slices = [
            IndexedSlices(s.values, cast(s.indices, dtypes.int64), s.dense_shape) for s in slices
        ]
    return IndexedSlices(
        concat([s.values for s in slices], 0),
        concat([s.indices for s in slices], 0),
        slices[0].dense_shape,
    )
