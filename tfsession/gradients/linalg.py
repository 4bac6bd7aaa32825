"""Gradients of bands of matrices and of cross products."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.operation import Operation
from tfsession.ops.linalg import cross, matrix_band_part


@gradient("MatrixBandPart")
def _matrix_band_part(op: Operation, grad: Any) -> Any:
    _, lower, upper = op.inputs
    return matrix_band_part(grad, lower, upper), None, None


@gradient("Cross")
def _cross(op: Operation, grad: Any) -> Any:
    a, b = op.inputs
    return cross(b, grad), cross(grad, a)
