"""Gradients of sums and means of chosen rows: each row gets those of the segments it is in."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.indexed_slices import IndexedSlices
from tfsession.graph.operation import Operation
from tfsession.ops.shape import shape


def _register(kind: str) -> None:
    def spread(op: Operation, grad: Any) -> Any:
        data, indices, ids, *rest = op.inputs
        sizes = shape(data)
        inputs = [grad, indices, ids, sizes[0]]
        if op.attrs["sparse_gradient"]:
            values, places = create_op(f"SparseSegment{kind}GradV2", inputs)
            found: Any = IndexedSlices(values, places, sizes)
        else:
            found = create_op(f"SparseSegment{kind}Grad", inputs)
        return found, None, None, *[None] * len(rest)

    gradient(f"SparseSegment{kind}")(spread)
    gradient(f"SparseSegment{kind}WithNumSegments")(spread)
    no_gradient(f"SparseSegment{kind}Grad", f"SparseSegment{kind}GradV2")


for _kind in ("Sum", "Mean", "SqrtN"):
    _register(_kind)
