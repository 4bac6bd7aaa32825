"""Stacks: what a loop leaves behind in each iteration, taken back from the last on.

The gradients of loops make them. A stack belongs to one step.
"""

from __future__ import annotations

from typing import Any

from tfsession.core.op_def import define_op
from tfsession.graph.create import create_op
from tfsession.graph.shape_fns import no_outputs, same_as, scalar, unknown
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant

define_op(
    "StackV2",
    ["max_size: int32"],
    ["handle: resource"],
    ["elem_type: type", "stack_name: string = ''"],
    scalar,
    stateful=True,
)
define_op(
    "StackPushV2",
    ["handle: resource", "elem: T"],
    ["output: T"],
    ["T: type", "swap_memory: bool = false"],
    same_as(1),
    stateful=True,
)
define_op(
    "StackPopV2",
    ["handle: resource"],
    ["elem: elem_type"],
    ["elem_type: type"],
    unknown,
    stateful=True,
)
define_op("StackCloseV2", ["handle: resource"], shape=no_outputs, stateful=True)


def stack_for(value: Tensor, name: str) -> Tensor:
    """The handle of a stack, of any size, of values like this one; it is placed where that is."""
    with value.graph.colocate_with(value.op):
        handle: Tensor = create_op(
            "StackV2", [constant(-1)], {"elem_type": value.dtype.base_dtype}, name
        )
    return handle


def push(handle: Tensor, value: Tensor, swap_memory: bool = False) -> Tensor:
    """The value, once it is on the stack."""
    pushed: Tensor = create_op("StackPushV2", [handle, value], {"swap_memory": swap_memory})
    return pushed


def pop(handle: Tensor, dtype: Any) -> Tensor:
    """The value on top of the stack, which is taken off."""
    popped: Tensor = create_op("StackPopV2", [handle], {"elem_type": dtype})
    return popped
