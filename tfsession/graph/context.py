"""Control flow contexts: what makes operations built inside a branch or a loop belong to it.

While a context is entered, each new operation is told to it, and it brings what the operation
reads from outside: through a Switch into a branch, through an Enter into a loop. Names, controls
and collections are those of TensorFlow's first kind of control flow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from tfsession.graph.create import create_operation
from tfsession.graph.nesting import (
    ENTERS,
    EXITS,
    context_of_outputs,
    is_within,
    loop_of_outputs,
)
from tfsession.graph.scopes import implied_controls

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph
    from tfsession.graph.operation import Operation
    from tfsession.graph.tensor import Tensor

_MERGES = frozenset({"Merge", "RefMerge"})
_NEXT_ITERATIONS = frozenset({"NextIteration", "RefNextIteration"})
_OF_SHAPES = frozenset({"Shape", "Size", "Rank"})


@contextmanager
def at_context(graph: Graph, context: ControlFlowContext | None) -> Iterator[None]:
    """Let new operations belong to this context, or to none."""
    scopes = graph._scopes
    previous, scopes.control_flow_context = scopes.control_flow_context, context
    try:
        yield
    finally:
        scopes.control_flow_context = previous


class Backward(Protocol):
    """What makes a loop the way back of gradients through another one, `forward`."""

    @property
    def forward(self) -> WhileContext:
        """The loop that ran before."""
        ...

    def value_of(self, tensor: Tensor) -> Tensor:
        """What a tensor of `forward` was, in the iteration through which gradients go back."""
        ...


class ControlFlowContext:
    """A branch or a loop under construction, within the one around it."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph = graph
        self.name = name
        self.outer_context: ControlFlowContext | None = graph._scopes.control_flow_context
        # Tensors that may be read as they are, and how those from outside are called inside.
        self.values: set[Tensor] = set()
        self.external_values: dict[Tensor, Tensor] = {}

    @property
    def pivot(self) -> Tensor:
        """What operations without inputs wait for, so that they run only when the context does."""
        raise NotImplementedError

    @property
    def loop(self) -> WhileContext | None:
        """The innermost loop that this is, or is in."""
        return self.outer_context.loop if self.outer_context is not None else None

    def entered(self) -> AbstractContextManager[None]:
        """Let new operations belong to this context."""
        return at_context(self.graph, self)

    def add_op(self, op: Operation) -> None:
        """Take in an operation that was made inside."""
        self._take_in(op)

    def _take_in(self, op: Operation) -> None:
        if op.inputs:
            self._bring_inputs(op)
        self._bind_controls(op)
        self._note_values(op.outputs)
        self._protect(op)

    def _bring_inputs(self, op: Operation) -> None:
        op.inputs = tuple(
            [
                # The way round of a loop that is imported whole.
                tensor
                if tensor.op.type in _NEXT_ITERATIONS and op.type in _MERGES
                else self.add_value(tensor)
                for tensor in op.inputs
            ]
        )
        self.graph._forget_consumers()

    def _bind_controls(self, op: Operation) -> None:
        """Let an operation run only when the context does, and wait for nothing it cannot."""
        raise NotImplementedError

    def add_value(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor inside: itself, or what brings it in from outside."""
        raise NotImplementedError

    def _drop_outer_controls(self, op: Operation) -> list[Operation]:
        """Operations in a loop cannot wait for those outside of it; gives those."""
        loop = self.loop
        if loop is None:
            return []
        kept = [control for control in op.control_inputs if loop_of_outputs(control) is loop]
        dropped = [control for control in op.control_inputs if control not in kept]
        op.control_inputs = tuple(kept)
        return dropped

    def _note_values(self, tensors: Iterable[Tensor]) -> None:
        """Tensors may be read here and in all contexts around."""
        context: ControlFlowContext | None = self
        while context is not None:
            context.values.update(tensors)
            context = context.outer_context

    def _protect(self, op: Operation) -> None:
        """What runs sometimes, or several times, cannot be fetched."""
        if self.outer_context is not None or op.type not in EXITS:
            self.graph.prevent_fetching(op)


class CondContext(ControlFlowContext):
    """One branch of a conditional: number 1 runs when the predicate holds, number 0 when not."""

    def __init__(self, graph: Graph, name: str, pred: Tensor, pivot: Tensor, branch: int) -> None:
        super().__init__(graph, name)
        self.pred = pred
        self.branch = branch
        self._pivot = pivot
        self.values.update((pred, pivot))

    @property
    def pivot(self) -> Tensor:
        """The predicate's way into this branch."""
        return self._pivot

    def _bind_controls(self, op: Operation) -> None:
        self._drop_outer_controls(op)
        if not op.inputs and not any(
            is_within(control._control_flow_context, self) for control in op.control_inputs
        ):
            op.control_inputs = (*op.control_inputs, self.pivot.op)

    def add_result(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor that a branch gives: as `add_value`, but made in the branch."""
        if tensor in self.values:
            return self.external_values.get(tensor, tensor)
        inside = switch(self._outside(tensor), self.pred)[self.branch]
        self.external_values[tensor] = inside
        return inside

    def add_value(self, tensor: Tensor) -> Tensor:
        """The tensor itself if it was made here, else the output of its Switch."""
        if tensor in self.values:
            return self.external_values.get(tensor, tensor)
        outside = self._outside(tensor)
        with self.graph.control_dependencies(None):
            inside = switch(outside, self.pred)[self.branch]
        self.graph.prevent_fetching(inside.op)
        inside.op._control_flow_context = self
        self._note_values([inside])
        self.external_values[tensor] = inside
        return inside

    def _outside(self, tensor: Tensor) -> Tensor:
        """What stands for a tensor right outside of this branch; from now on it is known inside."""
        self.values.add(tensor)
        if self.outer_context is None:
            return tensor
        outside = self.outer_context.add_value(tensor)
        self.values.add(outside)
        self.external_values[outside] = outside
        return outside


class WhileContext(ControlFlowContext):
    """A loop: one frame, whose operations run once in each iteration."""

    def __init__(
        self,
        graph: Graph,
        name: str,
        parallel_iterations: int,
        back_prop: bool,
        swap_memory: bool,
    ) -> None:
        super().__init__(graph, name)
        graph._has_loops = True
        self.parallel_iterations = parallel_iterations
        self.back_prop = back_prop
        self.swap_memory = swap_memory
        self.pivot_for_pred: Tensor | None = None
        self.pivot_for_body: Tensor | None = None
        self.enters: list[Tensor] = []
        self.exits: list[Tensor] = []
        self.going_on: Tensor | None = None  # the output of its LoopCond
        self.backward: Backward | None = None

    @property
    def pivot(self) -> Tensor:
        """A value that comes anew in each iteration."""
        pivot = self.pivot_for_pred if self.pivot_for_body is None else self.pivot_for_body
        assert pivot is not None
        return pivot

    @property
    def loop(self) -> WhileContext:
        """This loop."""
        return self

    def add_op(self, op: Operation) -> None:
        """Take in an operation that was made inside.

        Of what gradients need of a value of the iteration, its shape is kept rather than itself.
        """
        if op.type in _OF_SHAPES:
            source = op.inputs[0].op._control_flow_context
            backward = _current_backward(self.graph)
            if source is not None and backward is not None and source.loop is backward.forward:
                op._control_flow_context = source
                source._take_in(op)
                return
        self._take_in(op)

    def _bind_controls(self, op: Operation) -> None:
        outer = self._drop_outer_controls(op)
        # What depends on constants of the loop alone would be ready only once.
        if not op.control_inputs and all(map(is_loop_constant, op.inputs)):
            op.control_inputs = (self.pivot.op,)
        # What it was to wait for outside comes in as a value.
        with self.graph.control_dependencies(None), self.entered():
            brought = [
                create_operation("Identity", [control.outputs[0]])
                for control in outer
                if control.outputs
            ]
        op.control_inputs = (*op.control_inputs, *brought)

    def add_value(self, tensor: Tensor) -> Tensor:
        """The tensor itself if it was made here, else what its Enter gives in each iteration."""
        if tensor in self.values:
            return self.external_values.get(tensor, tensor)
        self.values.add(tensor)
        backward = _current_backward(self.graph)
        if backward is not None and loop_of_outputs(tensor.op) is backward.forward:
            inside = self.external_values[tensor] = backward.value_of(tensor)
            return inside
        outside = tensor
        if self.outer_context is not None:
            outside = self.outer_context.add_value(tensor)
        with self.graph.control_dependencies(None):
            inside = self.enter(outside, is_constant=True)
        self.wait_outside([inside])
        self.external_values[tensor] = inside
        self.values.add(inside)
        return inside

    def enter(self, tensor: Tensor, is_constant: bool) -> Tensor:
        """Bring a tensor into the loop's frame."""
        kind = "RefEnter" if tensor.dtype.is_ref else "Enter"
        attrs = {
            "frame_name": self.name,
            "is_constant": is_constant,
            "parallel_iterations": self.parallel_iterations,
        }
        op = create_operation(kind, [tensor], attrs, kind)
        inside = op.outputs[0]
        inside._shape = tensor._shape
        self.graph.prevent_feeding(inside)
        op._control_flow_context = self
        return inside

    def wait_outside(self, enters: Sequence[Tensor]) -> None:
        """Let Enters wait for what the blocks around ask for, as far as it is outside the loop."""
        scopes = self.graph._scopes
        for tensor in enters:
            op = tensor.op
            controls = [
                control
                for control in implied_controls(scopes, {op.inputs[0].op})
                if is_within(self.outer_context, context_of_outputs(control))
            ]
            op.control_inputs = tuple(dict.fromkeys((*op.control_inputs, *controls)))
            for block in scopes.controls:
                block.seen.add(op)

    def _protect(self, op: Operation) -> None:
        super()._protect(op)
        if self.outer_context is not None or op.type not in EXITS:
            for tensor in op.outputs:
                self.graph.prevent_feeding(tensor)


def _current_backward(graph: Graph) -> Backward | None:
    """What is known of the loop under construction if it is the way back through another one."""
    context: ControlFlowContext | None = graph._scopes.control_flow_context
    loop = None if context is None else context.loop
    return None if loop is None else loop.backward


def is_loop_constant(tensor: Tensor) -> bool:
    """Whether a tensor is the same in all iterations."""
    return tensor.op.type in ENTERS and bool(tensor.op.attrs["is_constant"])


def switch(data: Tensor, pred: Tensor, name: str = "Switch") -> list[Tensor]:
    """Both ways out of a Switch, which is placed where its data are: false first."""
    kind = "RefSwitch" if data.dtype.is_ref else "Switch"
    with data.graph.colocate_with(data.op, ignore_existing=True):
        op = create_operation(kind, [data, pred], None, name)
    return list(op.outputs)
