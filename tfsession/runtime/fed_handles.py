"""Feeds of TensorHandles: what stays in the session goes into a step where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfsession.core.errors import InvalidArgumentError
from tfsession.devices.transfer import Memory
from tfsession.graph.tensor import Tensor
from tfsession.graph.tensor_handle import TensorHandle
from tfsession.runtime.execute import Engine


def fed_handles(values: Mapping[Tensor, Any]) -> dict[Tensor, TensorHandle]:
    """The handles among the values of a feed_dict."""
    return {tensor: value for tensor, value in values.items() if type(value) is TensorHandle}


def resolve_handles(
    engine: Engine, values: dict[Tensor, Any], memories: dict[Tensor, Memory]
) -> None:
    """Put the kept arrays, and the memories in which they lie, in the place of their handles.

    Raises:
        InvalidArgumentError: a tensor is not kept by this session, or has another dtype than the
            one for which it is fed.
    """
    kept = {tensor: engine.kept(handle) for tensor, handle in fed_handles(values).items()}
    for tensor, (array, memory, dtype) in kept.items():
        if dtype is not tensor.dtype.base_dtype:
            index = sum(other.name < tensor.name for other in values)
            raise InvalidArgumentError(
                None,
                None,
                f"Expects arg[{index}] to be {tensor.dtype.base_dtype.op_def_name} but "
                f"{dtype.op_def_name} is provided",
            )
        values[tensor], memories[tensor] = array, memory
