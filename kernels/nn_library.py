"""Softmax by a library of neural networks, where there is one for the arrays."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from tfsession.devices.onednn import Library, Primitive, dnn_library

# `dnnl_prop_kind_t`, `dnnl_alg_kind_t` and the codes of arguments.
_INFERENCE = 96
_ACCURATE = 0x30000
_SOURCE, _RESULT = 1, 17


@lru_cache(maxsize=256)
def _forward(library: Library, shape: tuple[int, int]) -> Primitive | None:
    matrix = library.layout(shape, (shape[1], 1))
    found = library.describe("softmax_forward", _INFERENCE, _ACCURATE, matrix, matrix, 1)
    return library.compiled(found, {_SOURCE: matrix, _RESULT: matrix})


def softmax(xp: Any, rows: Any, out: Any) -> bool:
    """`exp(x)` of a matrix over its sum along rows; of finite ones only, others are left to do."""
    library = dnn_library(xp, rows, out)
    forward = library and _forward(library, rows.shape)
    if not forward:
        return False
    forward(rows, out)
    # What is not finite should take its whole row along, which the library does not see to.
    flat = out.reshape(-1)
    return math.isfinite(flat @ flat)
