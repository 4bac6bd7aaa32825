"""Kernels of session handles: tensors that stay in the session from step to step."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InternalError, InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.devices.memory import charged
from tfsession.devices.transfer import copy
from tfsession.resources.session_tensors import SessionTensor


@kernel("GetSessionHandle", stateful=True, host_outputs=["handle"])
def get_session_handle(ctx: Any, value: Any, *, T: DType) -> Any:
    """Keep a copy where the value lies: what was fed, or a variable's array, may yet change."""
    kept = SessionTensor(charged(value[...].copy()), ctx.memory, T)
    return np.array(ctx.tensors.put(ctx.name, ctx.device.name, kept).encode(), object)


@kernel("GetSessionHandleV2", stateful=True, host_outputs=["handle"])
def get_session_handle_v2(ctx: Any, value: Any, *, T: DType) -> Any:
    """As above, with a resource as the handle."""
    return _Handle(get_session_handle(ctx, value, T=T).item().decode())


class _Handle:
    """The resource that stands for a kept tensor."""

    __slots__ = ("name",)

    container = "TensorHandle"

    def __init__(self, name: str) -> None:
        self.name = name


@kernel("GetSessionTensor", stateful=True, host=["handle"], aliases=True)
def get_session_tensor(ctx: Any, handle: Any, *, dtype: DType) -> Any:
    """The kept array, copied only where it lies in another memory."""
    name = _text(handle)
    kept = ctx.tensors.get(name)
    if kept is None:
        raise InvalidArgumentError(
            None, None, f"The tensor with handle '{name}' is not in the session store."
        )
    if kept.dtype is not dtype:
        raise InternalError(
            None,
            None,
            f"Output 0 of type {kept.dtype.op_def_name} does not match declared output type "
            f"{dtype.op_def_name} for node {{{{node {ctx.name}}}}}",
        )
    return copy(kept.array, kept.memory, ctx.memory)


@kernel("DeleteSessionTensor", stateful=True, host=["handle"])
def delete_session_tensor(ctx: Any, handle: Any) -> None:
    """Give the kept array's memory back."""
    name = _text(handle)
    if not ctx.tensors.delete(name):
        raise InvalidArgumentError(
            None, None, f"Failed to delete a tensor with handle '{name}' in the session store."
        )


def _text(handle: Any) -> str:
    if handle.ndim:
        raise InvalidArgumentError(
            None, None, f"handle must be a scalar, got shape {debug_string(handle.shape)}"
        )
    return bytes(handle.item()).decode(errors="replace")
