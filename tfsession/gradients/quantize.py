"""Gradients of rounding: straight through, where the numbers are in the range."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation

no_gradient("QuantizeV2", "Dequantize")
no_gradient("FakeQuantWithMinMaxArgsGradient", "FakeQuantWithMinMaxVarsGradient")
no_gradient("FakeQuantWithMinMaxVarsPerChannelGradient")


@gradient("QuantizeAndDequantizeV2")
def _rounded(op: Operation, grad: Any) -> Any:
    return grad, None, None


@gradient("QuantizeAndDequantizeV3")
def _rounded_to_bits(op: Operation, grad: Any) -> Any:
    return grad, None, None, None


@gradient("FakeQuantWithMinMaxArgs")
def _fake_quant_args(op: Operation, grad: Any) -> Any:
    names = ("min", "max", "num_bits", "narrow_range")
    attrs = {name: op.attrs[name] for name in names}
    return create_op("FakeQuantWithMinMaxArgsGradient", [grad, op.inputs[0]], attrs)


@gradient("FakeQuantWithMinMaxVars")
def _fake_quant_vars(op: Operation, grad: Any) -> Any:
    return tuple(_of_ends(op, grad))


@gradient("FakeQuantWithMinMaxVarsPerChannel")
def _fake_quant_channels(op: Operation, grad: Any) -> Any:
    return tuple(_of_ends(op, grad))


def _of_ends(op: Operation, grad: Any) -> Any:
    attrs = {name: op.attrs[name] for name in ("num_bits", "narrow_range")}
    return create_op(f"{op.type}Gradient", [grad, *op.inputs], attrs)
