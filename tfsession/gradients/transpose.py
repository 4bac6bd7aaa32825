"""Gradients of reorderings: the order that leads back."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.operation import Operation
from tfsession.ops.transpose import depth_to_space, invert_permutation, space_to_depth, transpose


@gradient("Transpose")
def _transpose(op: Operation, grad: Any) -> Any:
    return transpose(grad, invert_permutation(op.inputs[1])), None


@gradient("ConjugateTranspose")
def _conjugate_transpose(op: Operation, grad: Any) -> Any:
    return transpose(grad, invert_permutation(op.inputs[1]), conjugate=True), None


@gradient("DepthToSpace")
def _depth_to_space(op: Operation, grad: Any) -> Any:
    return space_to_depth(grad, op.attrs["block_size"], data_format=op.attrs["data_format"])


@gradient("SpaceToDepth")
def _space_to_depth(op: Operation, grad: Any) -> Any:
    return depth_to_space(grad, op.attrs["block_size"], data_format=op.attrs["data_format"])
