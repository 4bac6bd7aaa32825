"""Operation: a node of the graph, with the place in the user's program where it was made."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from tfsession.core.attr_value import attr_from_proto, public_attr
from tfsession.core.device_spec import as_requested
from tfsession.core.op_def import OpDef
from tfsession.graph import node_def as node_def_lib
from tfsession.graph.tensor import Tensor

if TYPE_CHECKING:
    from tfsession.graph.graph import Graph

# The default session's `run`, installed by tfsession.session: the graph knows no session.
execute: Callable[[Operation, Any, Any], Any] | None = None

# As code objects name their files: links are not followed.
_PACKAGE = str(Path(__file__).parents[1]) + os.sep

# Code objects and instruction offsets in turn, innermost first: one flat tuple for each operation.
Frames = tuple[Any, ...]


def capture_frames() -> Frames:
    """The stack of the caller's caller: cheap to take, read only when a traceback is asked for."""
    frames: list[Any] = []
    append = frames.append
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        append(frame.f_code)
        append(frame.f_lasti)
        frame = frame.f_back
    return tuple(frames)


def _line_of(code: CodeType, instruction: int) -> int:
    for start, end, line in code.co_lines():
        if start <= instruction < end:
            return line or code.co_firstlineno
    return code.co_firstlineno


class Operation:
    """A node: an op type, inputs, attributes, control inputs, a requested device.

    Operations are made by the op builders, not by calling this class.
    """

    __slots__ = (
        "__weakref__",
        "_control_flow_context",
        "_device",
        "_frames",
        "_id",
        "attrs",
        "control_inputs",
        "graph",
        "inputs",
        "name",
        "op_def",
        "outputs",
        "type",
    )

    def __init__(
        self,
        graph: Graph,
        op_def: OpDef,
        name: str,
        inputs: tuple[Tensor, ...],
        attrs: dict[str, Any],
        frames: Frames,
    ) -> None:
        self.graph = graph
        self.op_def = op_def
        self.type = op_def.name
        self.name = name
        self.inputs = inputs
        self.attrs = attrs
        self.control_inputs: tuple[Operation, ...] = ()
        self.outputs: list[Tensor] = []
        self._device = ""
        self._frames = frames
        self._id = 0
        self._control_flow_context: Any = None

    @property
    def device(self) -> str:
        """The requested device, or an empty string."""
        return self._device

    def _set_device(self, device: Any) -> None:
        self.graph._note_mutation(self, "device")
        try:
            self._device = as_requested(device)
        except ValueError:  # it will fail when it is run
            self._device = str(device)
        self.graph._encoded = None

    def _set_attr(self, name: str, value: Any) -> None:
        """Set an attribute from an AttrValue message."""
        self.graph._note_mutation(self, f"attribute '{name}'")
        attr = self.op_def.attrs.get(name)
        self.attrs[name] = attr_from_proto(value, attr.type if attr else None)
        self.graph._encoded = None

    def _update_input(self, index: int, tensor: Tensor) -> None:
        self.graph._note_mutation(self, f"input {index}")
        inputs = list(self.inputs)
        inputs[index] = tensor
        self.inputs = tuple(inputs)
        self.graph._encoded = None
        self.graph._forget_consumers()

    def _add_control_input(self, op: Operation) -> None:
        self._add_control_inputs([op])

    def _add_control_inputs(self, ops: list[Operation]) -> None:
        self.graph._note_mutation(self, "control inputs")
        new = [op for op in ops if op not in self.control_inputs]
        self.control_inputs = (*self.control_inputs, *new)
        self.graph._encoded = None

    @property
    def control_outputs(self) -> list[Operation]:
        """The operations that wait for this one through a control edge."""
        return [op for op in self.graph.get_operations() if self in op.control_inputs]

    @property
    def node_def(self) -> Any:
        """The NodeDef message of this operation."""
        return node_def_lib.to_node_def(self)

    @property
    def traceback(self) -> traceback.StackSummary:
        """The stack at creation, outermost first, without frames of this package."""
        summary = traceback.StackSummary()
        frames = self._frames
        for code, instruction in zip(frames[-2::-2], frames[::-2], strict=True):
            if not code.co_filename.startswith(_PACKAGE):
                line = _line_of(code, instruction)
                summary.append(traceback.FrameSummary(code.co_filename, line, code.co_name))
        return summary

    def get_attr(self, name: str) -> Any:
        """The value of an attribute as TensorFlow gives it; raises ValueError when absent."""
        if name not in self.attrs:
            raise ValueError(f"Operation '{self.name}' has no attr named '{name}'.")
        attr = self.op_def.attrs.get(name)
        return public_attr(self.attrs[name], attr.type if attr else None)

    def values(self) -> tuple[Tensor, ...]:
        """The outputs."""
        return tuple(self.outputs)

    def _get_control_flow_context(self) -> Any:
        """The branch or loop in which it was made, or None."""
        return self._control_flow_context

    def colocation_groups(self) -> list[bytes]:
        """The groups in `_class`, or the operation's own."""
        groups = [g for g in self.attrs.get("_class", ()) if g.startswith(b"loc:@")]
        return groups or [b"loc:@" + self.name.encode()]

    def run(self, feed_dict: Any = None, session: Any = None) -> None:
        """Run this operation in `session`, or in the default session."""
        if execute is None:
            raise RuntimeError("No session is available: import tfsession, not its parts")
        execute(self, feed_dict, session)

    def __repr__(self) -> str:
        return f"<tf.Operation '{self.name}' type={self.type}>"

    def __str__(self) -> str:
        return str(self.node_def)

    def __copy__(self) -> Operation:
        return self

    def __deepcopy__(self, memo: Any) -> Operation:
        return self
