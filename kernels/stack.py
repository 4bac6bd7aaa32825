"""Kernels of stacks. The value of a handle is the stack itself, which lives as long as its step."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.resources.stack import Stack, stack_of


@kernel("StackV2", stateful=True, records=True, host=["max_size"])
def stack(ctx: Any, max_size: Any, *, elem_type: DType, stack_name: bytes) -> Stack:
    """A new stack."""
    limit = np.asarray(max_size)
    if limit.ndim:
        raise InvalidArgumentError(
            None, None, f"Stack size must be a scalar, but had shape: {list(limit.shape)}"
        )
    return Stack(stack_name.decode() or ctx.name, elem_type, int(limit))


# What is pushed may be read elsewhere, too: nobody may write over it.
@kernel("StackPushV2", aliases=True)
def push(xp: Any, handle: Any, elem: Any, *, T: DType) -> Any:
    """The element, which is on the stack now."""
    if type(handle) is not Stack:
        handle = stack_of(handle)
    handle.push(elem, T)
    return elem


@kernel("StackPopV2", aliases=True)
def pop(xp: Any, handle: Any, *, elem_type: DType) -> Any:
    """The last element, which is on the stack no more."""
    if type(handle) is not Stack:
        handle = stack_of(handle)
    return handle.pop(elem_type)


@kernel("StackCloseV2")
def close(xp: Any, handle: Any) -> None:
    """Drop the elements; the stack takes and gives none any more."""
    stack_of(handle).close()
