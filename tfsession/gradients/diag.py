"""Gradients of diagonals: those of the gradient, or a gradient that is zero elsewhere."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.ops.constant import zeros_like
from tfsession.ops.diag import diag, diag_part

# MatrixDiagV2's diagonals stand where V3's do with this alignment.
_OLD = "LEFT_LEFT"


@gradient("Diag")
def _diag(op: Operation, grad: Any) -> Any:
    return diag_part(grad)


@gradient("DiagPart")
def _diag_part(op: Operation, grad: Any) -> Any:
    return diag(grad)


def _part(op: Operation, grad: Any, k: Any) -> Any:
    """The diagonals of `grad`, as the op has them."""
    attrs = {"align": op.attrs.get("align", _OLD)}
    return create_op("MatrixDiagPartV3", [grad, k, 0], attrs)


@gradient("MatrixDiag")
def _matrix_diag(op: Operation, grad: Any) -> Any:
    return create_op("MatrixDiagPart", [grad])


@gradient("MatrixDiagV2", "MatrixDiagV3")
def _matrix_diags(op: Operation, grad: Any) -> Any:
    return _part(op, grad, op.inputs[1]), None, None, None, None


@gradient("MatrixDiagPart")
def _matrix_diag_part(op: Operation, grad: Any) -> Any:
    return create_op("MatrixSetDiag", [zeros_like(op.inputs[0]), grad])


@gradient("MatrixDiagPartV2", "MatrixDiagPartV3")
def _matrix_diag_parts(op: Operation, grad: Any) -> Any:
    value, k = op.inputs[:2]
    attrs = {"align": op.attrs.get("align", _OLD)}
    return create_op("MatrixSetDiagV3", [zeros_like(value), grad, k], attrs), None, None


@gradient("MatrixSetDiag")
def _matrix_set_diag(op: Operation, grad: Any) -> Any:
    kept = create_op("MatrixSetDiag", [grad, zeros_like(op.inputs[1])])
    return kept, create_op("MatrixDiagPart", [grad])


@gradient("MatrixSetDiagV2", "MatrixSetDiagV3")
def _matrix_set_diags(op: Operation, grad: Any) -> Any:
    _, diagonal, k = op.inputs
    attrs = {"align": op.attrs.get("align", _OLD)}
    kept = create_op("MatrixSetDiagV3", [grad, zeros_like(diagonal), k], attrs)
    return kept, _part(op, grad, k), None
