"""Constant folding: values that are known before a step runs, computed by the operations' kernels.

Only what is computed in host memory is folded, so that its bits are those of a run, and no memory
of a GPU is taken by what no step may need. An error leaves the operation alone, which then fails
when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import Any, Protocol

import numpy as np

from tfsession.core.rules import Kernel
from tfsession.devices.device import Device
from tfsession.devices.transfer import Memory
from tfsession.graph.constant_value import constant_value
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node, gives_tuple, make_node
from tfsession.runtime.segments import Value
from tfsession.runtime.wiring import Connections, Wired

# What a step may fold in all, in the greatest results that it may fold.
_MOST_RESULTS = 16
# Bytes of a value that is not kept only to set a variable.
_LARGE = 1 << 16
# Bytes of a value that is kept on a device whose memory is counted.
_SMALL = 1 << 10
_ASSIGNMENTS = frozenset({"Assign", "AssignVariableOp"})
_VALUES = np.ndarray, np.generic


class Evaluator(Protocol):
    """Computes values for a session, and has those that are kept."""

    @property
    def strips_debug(self) -> bool:
        """Whether checks and prints are left out."""

    def known_constant(self, node: Node) -> Value | None:
        """The value of a constant node, if it is known."""

    def evaluate(self, node: Node, values: Sequence[Value]) -> Value:
        """What the kernel of a node gives."""


class Folding:
    """The known values of a step, in `known`.

    Args:
        ops: all that the step runs.
        placement: the device of each operation.
        feeds: the fed tensors.
        wiring: what is read in place of what the graph says.
        most_bytes: what a folded value may take.
        evaluator: computes values.
    """

    def __init__(
        self,
        ops: Sequence[Operation],
        placement: Mapping[Operation, Device],
        feeds: Mapping[Tensor, Memory],
        wiring: Connections,
        most_bytes: int,
        evaluator: Evaluator,
    ) -> None:
        self._ops = ops
        self._placement = placement
        self._feeds = feeds
        self._wiring = wiring
        self._most = most_bytes
        self._left = most_bytes * _MOST_RESULTS
        self._evaluator = evaluator
        self.known: dict[Tensor, Value] = {}
        # What must be alive, or done, where a known value is read.
        self._anchors: dict[Operation, Sequence[Operation]] = {}
        self._readers: dict[Tensor, set[str]] | None = None

    def value_of(self, tensor: Tensor) -> np.ndarray[Any, Any] | None:
        """The value of a tensor, if it is known."""
        value = self.known.get(tensor)
        return value if value is None or type(value) is np.ndarray else np.asarray(value)

    def take_constant(self, op: Operation, value: Any, controls: Sequence[Operation]) -> None:
        """Take in an operation without inputs, and its value if it is a constant."""
        # A value of another type than its operation says stays the message that it came as.
        if isinstance(value, _VALUES) and (
            value.nbytes <= self._left or not self._is_only_claimed(value)
        ):
            self.known[op.outputs[0]] = value
            if controls:
                self._anchors[op] = controls

    def enter(self, op: Operation, tensor: Tensor) -> None:
        """Take in an Enter that gives the same to every iteration of its loop."""
        if tensor in self.known:
            self.known[op.outputs[0]] = self.known[tensor]
            self._anchors[op] = (op,)

    def fold(
        self, op: Operation, inputs: Sequence[Tensor], controls: Sequence[Operation]
    ) -> Wired | None:
        """An operation as a constant, if all that it reads is known."""
        known = self.known
        for tensor in inputs:
            if tensor not in known:
                return None
        if not self._is_worth_it(op):
            return None
        node = self.node(op)
        if node is None or node.memory is not None:
            return None
        value = self._evaluator.known_constant(node)
        if value is None:
            try:
                value = self._evaluate(node, inputs)
            except Exception:
                return None  # it fails again when it runs, if it does
        return self._constant(node, value, self.awaited(inputs, controls))

    def _is_only_claimed(self, value: Value) -> bool:
        """Whether one number stands for more than could be computed with before a step runs."""
        return isinstance(value, np.ndarray) and not any(value.strides)

    def static_values(self, op: Operation, inputs: Sequence[Tensor]) -> list[Value] | None:
        """The values of an operation that tells a shape, or a part of one, if that is static."""
        if op.type == "StridedSlice":
            if inputs[0].op.type != "Shape" or any(t not in self.known for t in inputs[1:]):
                return None
            value = None if inputs[0] in self._feeds else constant_value(op.outputs[0])
            return None if value is None else [value]
        values = []
        for tensor, output in zip(inputs, op.outputs, strict=True):
            shape = tensor._shape
            if shape is None or (op.type != "Rank" and None in shape):
                return None
            told: Any = shape
            if op.type not in ("Shape", "ShapeN"):
                told = len(shape) if op.type == "Rank" else prod(shape)
            values.append(np.array(told, output.dtype.numpy))
        return values

    def tell(
        self,
        op: Operation,
        values: Sequence[Value],
        inputs: Sequence[Tensor],
        controls: Sequence[Operation],
    ) -> Wired | None:
        """An operation as a constant with these values, which lie on the host."""
        node = self.node(op)
        if node is None or any(memory is not None for memory in node.output_memories):
            return None
        value = tuple(values) if gives_tuple(op.op_def) else values[0]
        return self._constant(node, value, self.awaited(inputs, controls))

    def node(self, op: Operation) -> Node | None:
        """How an operation would run; None if that cannot be foreseen."""
        node = make_node(
            op, self._placement[op], self._feeds, self._wiring, self._evaluator.strips_debug
        )
        return None if node.kernel.unseen or node.kernel.stateful else node

    def _evaluate(self, node: Node, inputs: Sequence[Tensor]) -> Value:
        values = [self.known[tensor] for tensor in inputs]
        if node.kernel.forwards:
            return values[0]
        return self._evaluator.evaluate(node, values)

    def awaited(
        self,
        inputs: Sequence[Tensor],
        controls: Sequence[Operation],
        others: Sequence[Operation] = (),
    ) -> Sequence[Operation]:
        """What is waited for by who waits for `controls`, reads `inputs` if known, and `others`."""
        anchors = self._anchors
        if not anchors and not others:
            return controls
        awaited = dict.fromkeys((*controls, *others))
        for tensor in inputs:
            awaited.update(dict.fromkeys(anchors.get(tensor.op, ())))
        return tuple(awaited)

    def _constant(self, node: Node, value: Value, controls: Sequence[Operation]) -> Wired | None:
        """A node that gives a value, if that is not too large."""
        op = node.op
        values = value if gives_tuple(op.op_def) else (value,)
        nbytes = sum(map(_bytes_of, values))
        if nbytes > self._most_for(op):
            return None
        self._left -= nbytes
        self.known.update(zip(op.outputs, values, strict=True))
        if controls:
            self._anchors[op] = controls
        constant = replace(
            node,
            kernel=Kernel(op.type, _giving(value), constant=True),
            inputs=(),
            controls=controls,
            input_memories=(),
        )
        return Wired((), controls, constant)

    # --- what is not worth it -------------------------------------------------------------------

    def _most_for(self, op: Operation) -> int:
        """The bytes that the value of an operation may take."""
        most = min(self._most, self._left)
        return most if self._placement[op].ledger is None else min(most, _SMALL)

    def _is_worth_it(self, op: Operation) -> bool:
        """Whether results, as far as their sizes are known, may be kept and are read."""
        nbytes = 0
        for tensor in op.outputs:
            shape = tensor._shape
            if shape is not None and None not in shape:
                nbytes += prod(shape) * tensor.dtype.base_dtype.size  # type: ignore[arg-type]
        if nbytes > self._most_for(op):
            return False
        return nbytes <= _LARGE or not self._only_sets_variables(op)

    def _only_sets_variables(self, op: Operation) -> bool:
        """Whether all that reads an operation puts it into variables: that is done once or so."""
        if self._readers is None:
            self._readers = {}
            for reader in self._ops:
                for tensor in reader.inputs:
                    self._readers.setdefault(tensor, set()).add(reader.type)
        readers = set[str]().union(*(self._readers.get(tensor, ()) for tensor in op.outputs))
        return bool(readers) and readers <= _ASSIGNMENTS


def _giving(value: Value) -> Callable[[Any], Value]:
    return lambda xp: value


def _bytes_of(value: Value) -> int:
    if getattr(value, "dtype", None) == np.dtype(object):
        return sum(map(len, np.asarray(value).ravel().tolist()))
    nbytes: int = getattr(value, "nbytes", 8)
    return nbytes
