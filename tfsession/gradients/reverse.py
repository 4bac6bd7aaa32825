"""Gradients of reversals: the same reversal again."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation


@gradient("ReverseV2", "Reverse")
def _reverse(op: Operation, grad: Any) -> Any:
    return create_op(op.type, [grad, op.inputs[1]]), None


@gradient("ReverseSequence")
def _reverse_sequence(op: Operation, grad: Any) -> Any:
    attrs = {name: op.attrs[name] for name in ("seq_dim", "batch_dim")}
    return create_op("ReverseSequence", [grad, op.inputs[1]], attrs), None


@gradient("Roll")
def _roll(op: Operation, grad: Any) -> Any:
    return create_op("Roll", [grad, create_op("Neg", [op.inputs[1]]), op.inputs[2]]), None, None
