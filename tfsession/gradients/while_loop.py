"""Loops of gradients: how they flow back through `while_loop`, as TensorFlow's first kind has it.

The loop gets a counter, and its gradient is a loop of as many iterations. What that needs to know
of an iteration is pushed on a stack there, and popped here: the last iteration comes first. What
the loop takes from outside without changing it has a gradient of its own in each iteration; they
are added up. Names of operations are TensorFlow's: f_ stands for forward, b_ for backward.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tfsession.core.dtypes import DType, float32, resource
from tfsession.core.shape import Shape, is_fully_defined
from tfsession.graph.context import (
    CondContext,
    ControlFlowContext,
    WhileContext,
    at_context,
    is_loop_constant,
    switch,
)
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.nesting import context_of_outputs
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import greater_equal
from tfsession.ops.cond import merge
from tfsession.ops.constant import constant, constant_of, zeros, zeros_like
from tfsession.ops.elementwise import add, maximum, subtract
from tfsession.ops.join import concat
from tfsession.ops.stack import pop, push, stack_for
from tfsession.ops.state import variable_behind


def _entered(context: ControlFlowContext | None) -> AbstractContextManager[None]:
    return nullcontext() if context is None else context.entered()


def is_loop_switch(op: Operation) -> bool:
    """Whether this is the Switch of a variable of a loop, which gradients pass twice."""
    return (
        op.type in ("Switch", "RefSwitch")
        and isinstance(op._control_flow_context, WhileContext)
        and op.inputs[1].op.type == "LoopCond"
    )


def _switch(data: Tensor, pred: Tensor | None) -> list[Tensor]:
    """Both ways out of a Switch that is placed anywhere."""
    return list(create_op("Switch", [data, pred]))


def go_round(merged: Tensor, value: Tensor) -> Tensor:
    """Let a value be the next one of the variable that begins with a Merge."""
    following: Tensor = create_op("NextIteration", [value])
    merged.op._update_input(1, following)
    return following


def enter(context: WhileContext, first: Tensor, name: str) -> Tensor:
    """Bring the first value of a variable into a loop under construction."""
    context.values.add(first)
    attrs = {
        "frame_name": context.name,
        "is_constant": False,
        "parallel_iterations": context.parallel_iterations,
    }
    inside: Tensor = create_op("Enter", [first], attrs, name)
    inside._shape = first._shape
    context.enters.append(inside)
    return inside


def leave(context: WhileContext, value: Tensor, name: str | None = None) -> Tensor:
    """Take the last value of a variable out of a loop under construction."""
    outside: Tensor = create_op("Exit", [value], name=name)
    context.exits.append(outside)
    if context.outer_context is not None:
        context.outer_context.values.add(outside)
    return outside


class LoopGradient:
    """A loop, `forward`, and the one through which gradients flow back: `context`.

    Attributes:
        outer: the same of the loop around it, where gradients flow through that, too.
        merges: for each Switch of `forward`, what merges its gradients in `context`.
        exits: those of `forward`, the counter's aside.
        unused: those without a gradient so far; `deferred` have been met on the way back, `missing`
            is how many have not.
    """

    def __init__(self, forward: WhileContext, outer: LoopGradient | None) -> None:
        self.outer = outer
        self.merges: dict[Operation, Any] = {}
        self.exits = list(forward.exits)
        self.unused: list[Tensor] = []
        self.deferred: list[Tensor] = []
        self.missing = len(self.exits)
        self._forward = forward
        self._graph = forward.graph
        self._caller: ControlFlowContext | None = self._graph._scopes.control_flow_context
        self._values: dict[Tensor, Tensor] = {}
        self._forward_sync: Operation | None = None
        self._sync: Operation | None = None
        around = forward.outer_context if outer is None else outer.forward
        with _entered(around):
            count, self._forward_next = self._count_iterations()
        if outer is None:
            with _entered(around):
                self.context = self._new_context()
                self._next = self._count_down(count)
            return
        # The iterations of each run of an inner loop.
        outer.forward.values.add(count)
        history = outer.keep(count)
        with outer.context.entered():
            self.context = self._new_context()
            self._next = self._count_down(outer.recall(history, count))

    @property
    def forward(self) -> WhileContext:
        """The loop."""
        return self._forward

    def _new_context(self) -> WhileContext:
        forward = self._forward
        name = self._graph.unique_name(forward.name)
        settings = forward.parallel_iterations, forward.back_prop, forward.swap_memory
        context = WhileContext(self._graph, name, *settings)
        context.backward = self
        return context

    def _count_iterations(self) -> tuple[Tensor, Tensor]:
        """A counter in the loop: what it is in the end, and the next value in each iteration."""
        zero = constant(0, name="f_count")
        if self.outer is not None:
            # Pushes of one run of the loop come before those of its next run.
            zero.op._add_control_input(self.outer.forward_step)
        loop = self._forward
        with loop.entered():
            entered = enter(loop, zero, "f_count")
            merged = merge([entered, entered])
            ways = _switch(merged, loop.going_on)
            following = go_round(merged, add(ways[1], 1))
            return leave(loop, ways[0], "f_count"), following

    def _count_down(self, count: Tensor) -> Tensor:
        """What lets the loop of gradients run so often; gives the next value of its counter."""
        one, loop = constant(1, name="b_count"), self.context
        with loop.entered():
            entered = enter(loop, count, "b_count")
            merged = loop.pivot_for_pred = merge([entered, entered])
            going_on = create_op("LoopCond", [greater_equal(merged, one)], name="b_count")
            loop.going_on = going_on
            ways = _switch(merged, going_on)
            left = loop.pivot_for_body = subtract(ways[1], one)
            following = go_round(merged, left)
            last = leave(loop, ways[0], "b_count")
            if self.outer is not None:
                # Pops of one run of the loop come before those of its next run.
                self.outer.sync._add_control_input(last.op)
        return following

    @property
    def forward_step(self) -> Operation:
        """Counts an iteration of the loop."""
        step: Operation = self._forward_next.op.inputs[0].op
        return step

    @property
    def forward_sync(self) -> Operation:
        """What waits for pushes that do not happen in each iteration, before the next one."""
        if self._forward_sync is None:
            self._forward_sync = self._trigger("f_sync", self._forward, self._forward_next)
        return self._forward_sync

    @property
    def sync(self) -> Operation:
        """What waits for the pops of an iteration, before the next one."""
        if self._sync is None:
            self._sync = self._trigger("b_sync", self.context, self._next)
        return self._sync

    def _trigger(self, name: str, context: WhileContext, following: Tensor) -> Operation:
        with self._graph.control_dependencies(None):
            trigger: Operation = create_op("ControlTrigger", name=name)
        trigger._control_flow_context = context
        following.op._add_control_input(trigger)
        return trigger

    # --- values of the loop ---------------------------------------------------------------------

    def keep(self, value: Tensor, is_dead: bool = False) -> Tensor:
        """A stack on which the loop puts what a tensor is in each iteration.

        `is_dead` says that the tensor is there in those iterations which do not run the branch that
        its operation counts among.
        """
        graph, loop = self._graph, self._forward
        with graph.control_dependencies(None):
            with at_context(graph, self._caller):
                stack = stack_for(value, "f_acc")
            inside = loop.add_value(stack)
            there = context_of_outputs(value.op)
            around = there.outer_context if is_dead and there is not None else there
            if there is not loop and not isinstance(there, CondContext):
                raise TypeError(f"value_ctxt is not a CondContext: {there}")
            with at_context(graph, around):
                pushed = push(inside, value, loop.swap_memory).op
            if there is loop:
                self._forward_next.op._add_control_input(pushed)
            else:
                pushed._control_flow_context = there
                self.forward_sync._add_control_input(pushed)
        pushed._add_control_input(self.forward_step)
        return stack

    def recall(self, stack: Tensor, value: Tensor, is_dead: bool = False) -> Tensor:
        """What `keep` has put on a stack, in the loop of gradients."""
        branch = _branch_between(value.op, stack.op)
        with self._graph.control_dependencies(None), self.context.entered():
            if branch is not None:
                pred, way = self._known(branch.pred), branch.branch
                stack = switch(stack, pred)[1 - way if is_dead else way]
            popped = pop(stack, value.dtype.base_dtype)
            popped._shape = value._shape
        if self.context.parallel_iterations > 1:
            self.sync._add_control_input(popped.op)
        return popped

    def _known(self, pred: Tensor) -> Tensor:
        """A predicate of the loop, or of one around it, as far as it was kept."""
        state: LoopGradient | None = self
        while state is not None:
            if pred in state._values:
                return state._values[pred]
            state = state.outer
        return pred

    def value_of(self, tensor: Tensor) -> Tensor:
        """What a tensor of the loop was in the iteration through which gradients go back."""
        if tensor not in self._values:
            self._values[tensor] = self._recalled(tensor)
        return self._values[tensor]

    def _recalled(self, tensor: Tensor) -> Tensor:
        source, state = tensor, self
        while (entered := _constant_behind(source)) is not None:
            source = entered.op.inputs[0]
            if state.outer is None:
                return self.context.add_value(source)
            state = state.outer
        if source.op.type == "Const":
            return constant_of(self._graph, source.op.attrs["value"], "Const")
        with at_context(self._graph, self._caller):
            stack = state.keep(source)
        value = state.recall(stack, source)
        return value if state is self else self.context.add_value(value)

    def predicate_of(self, branch: CondContext) -> Tensor:
        """The way that a conditional in the loop went."""
        pred = branch.pred
        if pred not in self._values:
            with at_context(self._graph, self._caller):
                stack = self.keep(pred)
            self._values[pred] = self.recall(stack, pred)
        return self._values[pred]

    def predicate_before(self, branch: CondContext) -> Tensor | None:
        """The same, if it was asked for already."""
        return self._values.get(branch.pred)

    # --- gradients of what all iterations read --------------------------------------------------

    def total(self, enter_op: Operation, grad: Tensor) -> Tensor:
        """The sum of the gradients that a constant of the loop has in each iteration."""
        loop = self.context
        with at_context(self._graph, self._caller):
            zero = self._zeros_before(enter_op, grad)
        with loop.entered():
            entered = enter(loop, zero, "b_acc")
            merged = merge([entered, entered], "b_acc")
            ways = _switch(merged, loop.going_on)
            go_round(merged, add(ways[1], grad))
            return leave(loop, ways[0], "b_acc")

    def _zeros_before(self, enter_op: Operation, grad: Tensor) -> Tensor:
        """Where the sum begins: zeros of the shape of what the loop reads."""
        around, dtype = self.context.outer_context, grad.dtype.base_dtype
        if is_fully_defined(grad._shape):
            with _entered(around):
                return _zero_constant(grad._shape, dtype, "b_acc")
        value = enter_op.inputs[0]
        if self.outer is None or not isinstance(around, WhileContext) or around.backward is None:
            with _entered(around):
                return zeros(_shape_of(value), dtype)
        with _entered(self._forward.outer_context):
            shape = _shape_of(value)
        stack = self.outer.keep(shape)
        with around.entered():
            return zeros(self.outer.recall(stack, shape), dtype)

    def total_of_slices(self, enter_op: Operation, grad: IndexedSlices) -> IndexedSlices:
        """As `total`, of slices: all of them, one behind the other."""
        loop = self.context
        with at_context(self._graph, self._caller), _entered(loop.outer_context):
            firsts = self._slices_before(enter_op, grad)
        with loop.entered():
            entered = [enter(loop, first, "b_acc") for first in firsts]
            entered[0]._shape = (None,)
            if firsts[1]._shape is not None:
                entered[1]._shape = (None, *firsts[1]._shape[1:])
            merged = [merge([tensor, tensor], "b_acc") for tensor in entered]
            ways = [_switch(tensor, loop.going_on) for tensor in merged]
            parts = [
                concat([way[1], part], 0)
                for way, part in zip(ways, (grad.indices, grad.values), strict=False)
            ]
            if grad.dense_shape is not None:
                parts.append(maximum(grad.dense_shape, ways[2][1]))
            for tensor, part in zip(merged, parts, strict=True):
                go_round(tensor, part)
            indices, values, *rest = [leave(loop, way[0], "b_acc") for way in ways]
        return IndexedSlices(values, indices, rest[0] if rest else None)

    def _slices_before(self, enter_op: Operation, grad: IndexedSlices) -> list[Tensor]:
        """Indices, values and shape to begin with: one slice of zeros."""
        dtype, value = grad.values.dtype.base_dtype, enter_op.inputs[0]
        if is_fully_defined(grad.values._shape):
            values = _zero_constant((1, *grad.values._shape[1:]), dtype, "b_acc")
        else:
            rows = concat([[1], _shape_of(value)[1:]], 0)
            values = zeros(rows, dtype)
        firsts = [constant([0], grad.indices.dtype), values]
        dense = grad.dense_shape
        if dense is not None:
            if is_fully_defined(dense._shape):
                firsts.append(_zero_constant(dense._shape, dense.dtype, "Const"))
            else:
                shape = create_op("Shape", [value], {"out_type": dense.dtype})
                firsts.append(zeros_like(shape, optimize=False))
        return firsts

    # --- the end --------------------------------------------------------------------------------

    def finish(self) -> None:
        """Close the variables that nothing flowed back to: they go on with zeros."""
        for merged in self.merges.values():
            parts = [merged]
            if isinstance(merged, IndexedSlices):
                shape = [] if merged.dense_shape is None else [merged.dense_shape]
                parts = [merged.values, merged.indices, *shape]
            for part in parts:
                if part.op.inputs[0] is part.op.inputs[1]:
                    self._go_on_with_zeros(part)

    def _go_on_with_zeros(self, merged: Tensor) -> None:
        first = merged.op.inputs[0]
        loop = self.context
        if is_fully_defined(first._shape):
            with loop.entered():
                go_round(merged, _zero_constant(first._shape, first.dtype, "Const"))
            return
        with _entered(loop.outer_context):
            value = zeros(_shape_of(first.op.inputs[0]), first.dtype)
        with loop.entered():
            go_round(merged, value)


def _constant_behind(tensor: Tensor) -> Tensor | None:
    """What brings a value into the loop for all its iterations, if that is what the tensor is."""
    while tensor.op.type in ("Switch", "RefSwitch", "Identity", "RefIdentity"):
        tensor = tensor.op.inputs[0]
    return tensor if is_loop_constant(tensor) else None


def _shape_of(tensor: Tensor) -> Tensor:
    shape: Tensor = create_op("Shape", [tensor])
    return shape


def _zero_constant(shape: Shape, dtype: Any, name: str) -> Tensor:
    return constant(0, dtype, shape, name)


def _zeros_for(tensor: Tensor) -> Tensor:
    """Zeros for a tensor of a known shape; for the handle of a variable those of its value."""
    if tensor.dtype is not resource:
        return _zero_constant(tensor._shape, tensor.dtype.base_dtype, "Const")
    handle = tensor.op.inputs[0] if tensor.op.type == "Switch" else tensor
    return zeros(create_op("VariableShape", [handle]), dtype_behind(tensor))


def dtype_behind(handle: Tensor) -> DType:
    """The dtype of the variable that a handle stands for."""
    variable = variable_behind(handle)
    dtype: DType = float32 if variable is None else variable.attrs["dtype"]
    return dtype


def _branch_between(op: Operation, around: Operation) -> CondContext | None:
    """The innermost conditional that an operation is in, and another one is not."""
    context, end = op._control_flow_context, around._control_flow_context
    while context is not None and context is not end:
        if isinstance(context, CondContext):
            return context
        context = context.outer_context
    return None


class LoopGradients:
    """The loops through which the gradients of one call flow, by the loop."""

    def __init__(self) -> None:
        self._states: dict[WhileContext, LoopGradient] = {}

    def add(self, exit_op: Operation) -> Sequence[Tensor]:
        """Gradients flow through the loop that an operation leaves; gives its exits if it is new.

        Loops come after those around them.
        """
        context = exit_op._control_flow_context
        loop: WhileContext | None = None if context is None else context.loop
        if loop is None or loop in self._states:
            return ()
        outer = None if loop.outer_context is None else loop.outer_context.loop
        state = LoopGradient(loop, None if outer is None else self._states.get(outer))
        self._states[loop] = state
        return state.exits

    def of(self, op: Operation) -> LoopGradient | None:
        """The loop in which an operation is, if gradients flow through it."""
        context = op._control_flow_context
        return None if context is None else self._states.get(context.loop)

    def around(self, op: Operation) -> AbstractContextManager[None]:
        """Where the gradient of an operation is made."""
        state = self.of(op)
        return nullcontext() if state is None else state.context.entered()

    def before(self, op: Operation) -> AbstractContextManager[None]:
        """Where the gradients of the outputs of an operation are."""
        context = context_of_outputs(op)
        state = None if context is None else self._states.get(context.loop)
        return nullcontext() if state is None else state.context.entered()

    def begin(self, pending: dict[Operation, int], first: set[Operation]) -> list[Tensor]:
        """The exits through which nothing but zeros can flow, which is known from the start.

        Args:
            pending: for each operation on the way back, the number of its readers on that way.
            first: the operations from which gradients start.
        """
        found = []
        for state in self._states.values():
            for tensor in state.exits:
                if not pending[tensor.op]:
                    state.missing -= 1
                    if tensor.op not in first:
                        state.unused.append(tensor)
                    if not state.missing:
                        found += state.unused
            for tensor in state.forward.enters:
                if not pending.get(tensor.op):
                    pending[tensor.op] = 1
        return found

    def finish(self) -> None:
        """The last step."""
        for state in self._states.values():
            state.finish()

    def zeros_of_exit(self, tensor: Tensor) -> Tensor:
        """The gradient of what leaves a loop and is not used, while other exits are."""
        loop = tensor.op._control_flow_context
        around = loop.outer_context
        outer = None if around is None else self._states.get(around.loop)
        if outer is None:
            if is_fully_defined(tensor._shape):
                return zeros(tensor._shape, tensor.dtype)
            return zeros_like(tensor, optimize=False)
        if is_fully_defined(tensor._shape):
            with outer.context.entered():
                return zeros(tensor._shape, tensor.dtype)
        with around.entered():
            shape = _shape_of(tensor)
        stack = outer.keep(shape)
        with outer.context.entered():
            return zeros(outer.recall(stack, shape), tensor.dtype)

    def zeros_of(self, tensor: Tensor, state: LoopGradient) -> Tensor | None:
        """The gradient of an output in a loop to which none came back."""
        op = tensor.op
        if is_loop_switch(op):
            return None
        branch = op._control_flow_context
        # What a Switch brings into a branch: the zeros belong to the other branch.
        is_dead = op.type in ("Switch", "RefSwitch") and isinstance(branch, CondContext)
        if is_fully_defined(tensor._shape):
            zero = _zeros_for(tensor)
            if is_dead and (pred := state.predicate_before(branch)) is not None:
                return switch(zero, pred)[1 - branch.branch]
            return zero
        graph = op.graph
        with at_context(graph, state._caller):
            if is_dead:
                with _entered(branch.outer_context):
                    other = switch(op.inputs[0], branch.pred)[1 - branch.branch]
                    shape = _shape_of(other)
                other.op._control_flow_context = shape.op._control_flow_context = branch
            else:
                with branch.entered():
                    shape = _shape_of(tensor)
            stack = state.keep(shape, is_dead)
        return zeros(state.recall(stack, shape, is_dead), tensor.dtype.base_dtype)
