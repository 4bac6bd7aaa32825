"""Arrays divided by, and put together from, lists of positions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


@kernel("DynamicPartition", host=["partitions"])
def dynamic_partition(xp: Any, data: Any, partitions: Any, num_partitions: int) -> Any:
    """The slices of each partition."""
    if data.shape[: partitions.ndim] != partitions.shape:
        raise _refuse(
            "data.shape must start with partitions.shape, got data.shape = "
            f"{debug_string(data.shape)}, partitions.shape = {debug_string(partitions.shape)}"
        )
    bad = (partitions < 0) | (partitions >= num_partitions)
    if bad.any():
        place = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
        where = f"partitions[{','.join(map(str, place))}]" if place else "partitions"
        raise _refuse(f"{where} = {partitions[place]} is not in [0, {num_partitions})")
    rows = data.reshape(partitions.size, *data.shape[partitions.ndim :])
    flat = partitions.reshape(-1)
    return tuple(rows[xp.asarray(np.nonzero(flat == i)[0])] for i in range(num_partitions))


@kernel("DynamicStitch", "ParallelDynamicStitch", host=["indices"])
def dynamic_stitch(xp: Any, *inputs: Any) -> Any:
    """All slices at their places."""
    count = len(inputs) // 2
    indices, data = inputs[:count], inputs[count:]
    tail = data[0].shape[indices[0].ndim :]
    size = 0
    for i, (positions, part) in enumerate(zip(indices, data, strict=True)):
        if part.shape != (*positions.shape, *tail):
            raise _refuse(
                f"data[{i}].shape = {debug_string(part.shape)} does not start with "
                f"indices[{i}].shape = {debug_string(positions.shape)} and end with "
                f"{debug_string(tail)}"
            )
        if positions.size:
            size = max(size, int(positions.max()) + 1)
    result = xp.zeros((size, *tail), data[0].dtype)
    if result.dtype.kind == "O":
        result[...] = b""
    at = 0
    for positions, part in zip(indices, data, strict=True):
        flat = positions.reshape(-1)
        if flat.size and flat.min() < 0:
            raise _refuse(f"indices[{at + int(np.argmax(flat < 0))}] is out of range")
        at += flat.size
        result[xp.asarray(flat)] = part.reshape(flat.size, *tail)
    return result
