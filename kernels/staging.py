"""Kernels of staging areas: elements stay on the device where they were put down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.devices.memory import charged
from tfsession.resources.staging import Element, StagingArea
from tfsession.resources.store import DEFAULT_CONTAINER


def _area(
    ctx: Any, capacity: int, memory_limit: int, container: bytes, shared_name: bytes
) -> StagingArea:
    """The area of the shared name, made when first met; without one, of the node."""
    area: StagingArea = ctx.resources.get_or_create(
        container.decode() or DEFAULT_CONTAINER,
        shared_name.decode() or ctx.name,
        StagingArea,
        lambda: StagingArea(capacity, memory_limit),
    )
    return area


def _copied(xp: Any, values: Sequence[Any]) -> Element:
    """The values in memory of their own; handles as they are."""
    return tuple([charged(xp.array(v)) if hasattr(v, "ndim") else v for v in values])


def _check(element: Element, dtypes: list[DType]) -> None:
    """Refuse an element that has not components of these types."""
    if len(element) != len(dtypes):
        raise InvalidArgumentError(
            None, None, f"Mismatch stage/unstage: {len(element)} vs. {len(dtypes)}"
        )
    for index, (value, dtype) in enumerate(zip(element, dtypes, strict=True)):
        if hasattr(value, "dtype") and value.dtype != dtype.numpy:
            raise InvalidArgumentError(
                None,
                None,
                f"Output {index} of type {as_dtype(value.dtype).op_def_name} does not match "
                f"declared output type {dtype.op_def_name}",
            )


@kernel("Stage", stateful=True, blocking=True)
def stage(
    ctx: Any, *values: Any, capacity: int, memory_limit: int, container: bytes, shared_name: bytes
) -> Any:
    """Put an element down."""
    area = _area(ctx, capacity, memory_limit, container, shared_name)
    return area.put(_copied(ctx.xp, values))


# A peek may still be read when the element is taken: nobody may write over either.
@kernel("Unstage", stateful=True, blocking=True, aliases=True)
def unstage(
    ctx: Any, *, capacity: int, memory_limit: int, dtypes: list[DType], container: bytes,
    shared_name: bytes,
) -> Any:  # fmt: skip
    """Take the oldest element."""
    area = _area(ctx, capacity, memory_limit, container, shared_name)
    return area.get(lambda element: _check(element, dtypes))


@kernel("StagePeek", stateful=True, blocking=True, aliases=True, host=["index"])
def stage_peek(
    ctx: Any, index: Any, *, capacity: int, memory_limit: int, dtypes: list[DType],
    container: bytes, shared_name: bytes,
) -> Any:  # fmt: skip
    """The element at a place from the oldest on, which stays."""
    area = _area(ctx, capacity, memory_limit, container, shared_name)
    if index.ndim:
        raise InvalidArgumentError(None, None, f"index must be scalar, but had shape {index.shape}")
    return area.peek(int(index), lambda element: _check(element, dtypes))


@kernel("StageSize", stateful=True, host_outputs=["size"])
def stage_size(
    ctx: Any, *, capacity: int, memory_limit: int, container: bytes, shared_name: bytes
) -> Any:
    """How many elements there are."""
    return np.int32(_area(ctx, capacity, memory_limit, container, shared_name).size)


@kernel("StageClear", stateful=True)
def stage_clear(
    ctx: Any, *, capacity: int, memory_limit: int, container: bytes, shared_name: bytes
) -> None:
    """Drop all elements."""
    _area(ctx, capacity, memory_limit, container, shared_name).clear()
