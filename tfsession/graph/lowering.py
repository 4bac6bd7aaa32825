"""Lowering: calls of functions, and branches and loops made of functions, as plain operations.

A call becomes the body of its function; `If` and `Case` become Switch and Merge, `While` a loop of
Enter, Merge, Switch, NextIteration and Exit. What comes of it stands in a graph beside the
program's own, and reads the program's tensors. The forms are those of TensorFlow's lowering
(core/common_runtime/lower_if_op.cc, lower_while_op.cc, inline_function_utils.cc).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import as_dtype, bool_, int32, string
from tfsession.core.errors import InvalidArgumentError, NotFoundError
from tfsession.core.op_def import ops
from tfsession.core.rules import lowerings
from tfsession.graph.build import build_operation
from tfsession.graph.function_def import input_types, instantiate
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_BRANCHES = frozenset({"If", "StatelessIf"})
_CASES = frozenset({"Case", "StatelessCase"})
_LOOPS = frozenset({"While", "StatelessWhile"})
_LOWERED = CALLS | _BRANCHES | _CASES | _LOOPS | {"SymbolicGradient"}

# What gives the outputs of a branch for its inputs, under the name scope that it is given.
_Branch = Callable[[str, Sequence[Tensor], Sequence[Operation]], list[Tensor]]


@dataclass(slots=True, frozen=True)
class Lowered:
    """What stands for an operation: a tensor for each output, and what is done when it is done."""

    outputs: Sequence[Tensor]
    done: Operation


def is_lowered(op: Operation) -> bool:
    """Whether an operation calls functions of its graph."""
    return op.type in _LOWERED or op.type in op.graph._functions


def graph_beside(graph: Graph) -> Graph:
    """A graph for what the calls in another one become; both have the same functions."""
    beside = Graph()
    beside._functions = graph._functions
    beside._function_gradients = graph._function_gradients
    beside._loaded_functions = graph._loaded_functions
    beside._version = 1 << 32  # what is there comes after all that the program makes
    return beside


def lower(op: Operation, graph: Graph) -> Lowered:
    """Write into `graph` what an operation that calls functions stands for.

    Raises:
        InvalidArgumentError: the function does not fit its call.
        NotFoundError: the graph has no function of that name.
    """
    writer = Writer(graph, op)
    with graph.as_default(), graph.device(op._device or None):
        first = graph._version
        if op.type in _BRANCHES:
            then, other = writer.branch("then_branch"), writer.branch("else_branch")
            pred = writer.as_bool(op.inputs[0])
            outputs = writer.choose(writer.scope, pred, op.inputs[1:], writer.pivots(), then, other)
        elif op.type in _CASES:
            branches = [writer.call_of(function) for function in op.attrs["branches"]]
            outputs = writer.case(branches)
        elif op.type in _LOOPS:
            outputs = writer.loop(op.inputs)
        elif op.type == "SymbolicGradient":
            outputs = lowerings["SymbolicGradient"](writer)
        elif op.type in CALLS:
            outputs = writer.call_of(op.attrs["f"])(writer.scope, op.inputs, writer.pivots())
        else:
            outputs = writer.call(op.type, op.attrs, writer.scope, op.inputs, writer.pivots())
        done = writer.no_op(f"{writer.scope}done", [t.op for t in outputs] + writer.loose)
    for made in islice(reversed(graph._ops.values()), graph._version - first):
        made._frames = op._frames
    return Lowered(outputs, done)


def lower_alone(name_attrs: Any, graph: Graph) -> tuple[list[Tensor], list[Tensor], Operation]:
    """A function by itself: placeholders of its arguments, its results, and what ends it.

    Raises as `lower` does.
    """
    function = graph._functions.get(name_attrs.name)
    if function is None:
        raise NotFoundError(
            None, None, f"Function '{name_attrs.name}' is not in the graph's library."
        )
    scope = graph.unique_name(name_attrs.name) + "/"
    with graph.as_default():
        arguments = [
            build_operation(
                graph,
                ops["Placeholder"],
                f"{scope}arg_{i}",
                (),
                {"dtype": dtype, "shape": None},
            ).outputs[0]
            for i, dtype in enumerate(input_types(function, name_attrs.attr))
        ]
        results, effects = instantiate(graph, function, name_attrs.attr, arguments, scope)
        # Each its own, also where one tensor is given back twice.
        own = [
            build_operation(
                graph, ops["Identity"], f"{scope}ret_{i}", (t,), {"T": t.dtype.base_dtype}
            ).outputs[0]
            for i, t in enumerate(results)
        ]
        done = build_operation(graph, ops["NoOp"], f"{scope}done", (), {})
        done.control_inputs = tuple(dict.fromkeys([*(t.op for t in own), *effects]))
    return arguments, own, done


class Writer:
    """Writes what stands for one operation."""

    def __init__(self, graph: Graph, op: Operation) -> None:
        self.graph = graph
        self.op = op
        self.scope = graph.unique_name(op.name) + "/"
        # What ran for its effects alone.
        self.loose: list[Operation] = []

    def make(self, op_type: str, name: str, inputs: Sequence[Tensor], **attrs: Any) -> Operation:
        """An operation; its inputs may belong to the program's graph."""
        op_def = ops[op_type]
        attrs = {**op_def.defaults, **attrs}
        return build_operation(self.graph, op_def, name, tuple(inputs), attrs)

    def no_op(self, name: str, controls: Sequence[Operation]) -> Operation:
        """An operation that does nothing but wait."""
        op = self.make("NoOp", name, ())
        op.control_inputs = tuple(dict.fromkeys(controls))
        return op

    def identity(self, name: str, tensor: Tensor, controls: Sequence[Operation] = ()) -> Tensor:
        """The same tensor, once it is there and `controls` are done."""
        op = self.make("Identity", name, (tensor,), T=tensor.dtype.base_dtype)
        op.control_inputs = tuple(controls)
        return op.outputs[0]

    def constant(self, name: str, value: Any, pivots: Sequence[Operation] = ()) -> Tensor:
        """An array as a tensor."""
        op = self.make("Const", name, (), value=value, dtype=as_dtype(value.dtype))
        op.control_inputs = tuple(pivots)
        return op.outputs[0]

    def pivots(self) -> list[Operation]:
        """What waits until the call may run: for what in it has no inputs."""
        op = self.op
        if not op.inputs and not op.control_inputs:
            return []
        awaited = [*dict.fromkeys(tensor.op for tensor in op.inputs), *op.control_inputs]
        return [self.no_op(f"{self.scope}input_control", awaited)]

    # --- calls ----------------------------------------------------------------------------------

    def branch(self, attr: str) -> _Branch:
        """The function that an attribute of the operation names."""
        return self.call_of(self.op.attrs[attr])

    def call_of(self, name_attrs: Any) -> _Branch:
        """The function that a NameAttrList names, as what writes a call of it."""

        def write(
            scope: str, inputs: Sequence[Tensor], pivots: Sequence[Operation]
        ) -> list[Tensor]:
            return self.call(name_attrs.name, name_attrs.attr, scope, inputs, pivots)

        return write

    def function(self, name: str) -> Any:
        """The FunctionDef of that name; NotFoundError if the graph has none."""
        function = self.graph._functions.get(name)
        if function is None:
            raise NotFoundError(None, self.op, f"Function '{name}' is not in the graph's library.")
        return function

    def call(
        self,
        name: str,
        attrs: Any,
        scope: str,
        inputs: Sequence[Tensor],
        pivots: Sequence[Operation],
    ) -> list[Tensor]:
        """The results of a function; who reads one waits for the effects of all of it."""
        function = self.function(name)
        messages = {
            key: value if hasattr(value, "WhichOneof") else to_attr_value(value, None)
            for key, value in attrs.items()
        }
        outputs, effects = instantiate(self.graph, function, messages, inputs, scope, pivots)
        if not outputs:
            self.loose += effects or pivots
        return [
            self.identity(f"{scope}output_{i}", tensor, effects) for i, tensor in enumerate(outputs)
        ]

    # --- branches -------------------------------------------------------------------------------

    def as_bool(self, tensor: Tensor) -> Tensor:
        """A predicate of any type: a number is true that is not 0, a text that is not empty."""
        dtype = tensor.dtype.base_dtype
        if dtype is bool_:
            return tensor
        if dtype is string:
            with self.graph.device(None):  # there are texts on the host only
                nothing = self.constant(f"{self.scope}empty", np.array(b"", object), [tensor.op])
                inputs = tensor, nothing
                return self.make("NotEqual", f"{self.scope}cond", inputs, T=string).outputs[0]
        cast = self.make("Cast", f"{self.scope}cond", (tensor,), SrcT=dtype, DstT=bool_)
        return cast.outputs[0]

    def choose(
        self,
        scope: str,
        pred: Tensor,
        inputs: Sequence[Tensor],
        pivots: Sequence[Operation],
        then: _Branch,
        other: _Branch,
    ) -> list[Tensor]:
        """The outputs of one of two branches; only this one runs."""
        switch = self.make("Switch", f"{scope}switch_pred", (pred, pred), T=bool_)
        switch.control_inputs = tuple(pivots)
        ways = [
            self.make(
                "Switch", f"{scope}switch_input_{i}", (tensor, pred), T=tensor.dtype.base_dtype
            )
            for i, tensor in enumerate(inputs)
        ]
        given: list[list[Tensor]] = []
        ends: list[Tensor] = []
        for index, (text, write) in enumerate((("else", other), ("then", then))):
            pivot = self.identity(f"{scope}pivot_{text}", switch.outputs[index])
            before = len(self.loose)
            given.append(write(f"{scope}{text}/", [w.outputs[index] for w in ways], [pivot.op]))
            loose, self.loose = self.loose[before:], self.loose[:before]
            ends.append(self.identity(f"{scope}done_{text}", pivot, loose))
        if len(given[0]) != len(given[1]):
            raise InvalidArgumentError(
                None, self.op, f"The branches of '{self.op.name}' give {len(given[1])} and "
                f"{len(given[0])} outputs."
            )  # fmt: skip
        if not given[0]:
            self.loose.append(self.merge(f"{scope}merge", ends).op)
        return [
            self.merge(f"{scope}output_{i}", pair)
            for i, pair in enumerate(zip(*given, strict=True))
        ]

    def merge(self, name: str, tensors: Sequence[Tensor]) -> Tensor:
        """The one of the tensors that is there."""
        dtype = tensors[0].dtype.base_dtype
        return self.make("Merge", name, tensors, T=dtype, N=len(tensors)).outputs[0]

    def case(self, branches: Sequence[_Branch]) -> list[Tensor]:
        """The outputs of the branch with the number that comes first; of the last for any other."""

        def from_branch(start: int) -> _Branch:
            def run(
                scope: str, inputs: Sequence[Tensor], pivots: Sequence[Operation]
            ) -> list[Tensor]:
                return branches[start](scope, inputs[1:], pivots)

            def choose(
                scope: str, inputs: Sequence[Tensor], pivots: Sequence[Operation]
            ) -> list[Tensor]:
                number = self.constant(f"{scope}number", np.array(start, np.int32), pivots)
                pred = self.make("Equal", f"{scope}pred", (inputs[0], number), T=int32).outputs[0]
                return self.choose(scope, pred, inputs, pivots, run, from_branch(start + 1))

            return run if start == len(branches) - 1 else choose

        return from_branch(0)(self.scope, self.op.inputs, self.pivots())

    # --- loops ----------------------------------------------------------------------------------

    def loop(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The values of the loop's variables when its condition is false."""
        scope, controls = self.scope, self.op.control_inputs
        frame = self.op.name.encode()
        turns = self.op.attrs["parallel_iterations"]
        merges = []
        for i, tensor in enumerate(inputs):
            dtype = tensor.dtype.base_dtype
            enter = self.make(
                "Enter",
                f"{scope}enter_{i}",
                (tensor,),
                T=dtype,
                frame_name=frame,
                is_constant=False,
                parallel_iterations=turns,
            )
            enter.control_inputs = controls
            # Closed below: what comes back may have another shape.
            back = Tensor(enter, 0, dtype)
            merge = self.make("Merge", f"{scope}merge_{i}", (enter.outputs[0], back), T=dtype, N=2)
            merges.append(merge)
        values = [merge.outputs[0] for merge in merges]
        condition = self.branch("cond")(f"{scope}cond/", values, [values[0].op])[0]
        until = self.make("LoopCond", f"{scope}LoopCond", (self.as_bool(condition),)).outputs[0]
        switches = [
            self.make("Switch", f"{scope}switch_{i}", (value, until), T=value.dtype.base_dtype)
            for i, value in enumerate(values)
        ]
        stays = [
            self.identity(f"{scope}turn_{i}", switch.outputs[1])
            for i, switch in enumerate(switches)
        ]
        results = self.branch("body")(f"{scope}body/", stays, [stays[0].op])
        for i, (merge, result) in enumerate(zip(merges, results, strict=True)):
            again = self.make(
                "NextIteration", f"{scope}next_{i}", (result,), T=result.dtype.base_dtype
            )
            merge.inputs = (merge.inputs[0], again.outputs[0])
        return [
            self.make(
                "Exit", f"{scope}exit_{i}", (switch.outputs[0],), T=switch.outputs[0].dtype
            ).outputs[0]
            for i, switch in enumerate(switches)
        ]
