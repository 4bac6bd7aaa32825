"""The kernel of RecordInput."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfsession.core.rules import kernel
from tfsession.resources.record_input import RecordInput
from tfsession.resources.store import DEFAULT_CONTAINER


@kernel("RecordInput", device="CPU", stateful=True)
def record_input(
    ctx: Any, *, file_pattern: bytes, file_random_seed: int, file_shuffle_shift_ratio: float,
    file_buffer_size: int, file_parallelism: int, batch_size: int, compression_type: bytes,
) -> Any:  # fmt: skip
    """The next records of the node's files."""
    found = ctx.resources.get_or_create(
        DEFAULT_CONTAINER,
        ctx.name,
        RecordInput,
        lambda: RecordInput(
            file_pattern,
            file_random_seed,
            file_shuffle_shift_ratio,
            file_buffer_size,
            file_parallelism,
            compression_type.decode(),
        ),
    )
    return np.array(found.batch(batch_size), object)
