"""Gradients of constants, fills and identities."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation

no_gradient(
    "Const",
    "Placeholder",
    "PlaceholderV2",
    "StopGradient",
    "NoOp",
    "ZerosLike",
    "OnesLike",
    "Empty",
)


@gradient("Identity", "PlaceholderWithDefault")
def _identity(op: Operation, grad: Any) -> Any:
    return grad


@gradient("IdentityN")
def _identity_n(op: Operation, *grads: Any) -> Any:
    return grads


@gradient("PreventGradient")
def _prevent_gradient(op: Operation, grad: Any) -> Any:
    raise LookupError(f"Gradient explicitly disabled. Reason: {op.attrs['message']!r}")


@gradient("Fill")
def _fill(op: Operation, grad: Any) -> Any:
    axes = create_op("Range", [0, create_op("Rank", [grad]), 1])
    return None, create_op("Sum", [grad, axes])
