"""What activations, softmax, biases and norms of single tensors compute.

Where a result is built in steps, they work in place on one fresh array: new memory costs more than
arithmetic. Short rows are summed as products with ones, which BLAS does several times faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import Spelling, kernel
from tfsession.core.shape import debug_string
from tfsession.devices.constants import constant
from tfsession.devices.threads import even_rows, run_blocks
from tfsession.devices.workspace import Workspace
from tfsession.kernels import nn_library
from tfsession.kernels.elementwise_loop import function

REAL_NUMBERS = (
    *("float", "double", "half", "bfloat16"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
)
# Rows shorter than this cost NumPy more for each row than for its elements.
_SHORT_ROW = 32
# Rows shorter than this are summed as exactly without pairs.
_LONG_ROW = 2048
# Zeros that are put beside rows at most, and at least.
_ZEROS, _FEW_ZEROS = 8192, 256
# Bytes of a block of rows.
_BLOCK = 1 << 20
_SELU_SCALE = 1.0507009873554805
_SELU_SCALE_ALPHA = 1.7580993408473766


def refuse_other_shapes(first: Any, second: Any) -> None:
    """Raise InvalidArgumentError unless both arrays have one shape."""
    if first.shape != second.shape:
        raise InvalidArgumentError(
            None,
            None,
            "Inputs to operation must have the same size and shape.  "
            f"Input 0: {debug_string(first.shape)} != input 1: {debug_string(second.shape)}",
        )


def widened(x: Any) -> Any:
    """`x`, but half and bfloat16 as float32, in which their sums are computed."""
    return x.astype("float32") if x.dtype.itemsize == 2 else x


# --- activations ----------------------------------------------------------------------------------


@kernel("Relu", types={"T": REAL_NUMBERS}, elementwise="broadcast")
def relu(xp: Any, features: Any, out: Any = None) -> Any:
    """The greater of each element and zero."""
    zero = features.dtype.type(0)
    # The loop between two arrays is several times faster.
    if out is None:
        return xp.maximum(features, zero)
    if out is not features:
        out.fill(zero)
        return xp.maximum(features, out, out=out)
    if out.ndim > 1 and _FEW_ZEROS <= out.shape[-1] <= _ZEROS:
        zero = constant(xp, _zeros(out.dtype))[: out.shape[-1]]
    return xp.maximum(features, zero, out=out)


@cache
def _zeros(dtype: np.dtype[Any]) -> Any:
    zeros = np.zeros(_ZEROS, dtype)
    zeros.flags.writeable = False
    return zeros


@kernel("ReluGrad", elementwise="same")
def relu_grad(xp: Any, gradients: Any, features: Any, out: Any = None) -> Any:
    """The gradients where features are positive."""
    refuse_other_shapes(gradients, features)
    if out is not None and out is not gradients and out.dtype.kind == "f":
        # Truths as numbers, cast by a few at a time.
        xp.greater(features, features.dtype.type(0), out=out)
        return xp.multiply(out, gradients, out=out)
    if out is not None and out.dtype.kind == "f":
        return xp.multiply(gradients, features > 0, out=out)
    passed = (features > 0).astype(features.dtype)
    if out is None and passed.ndim:  # NumPy's scalars are not written to
        out = passed
    return xp.multiply(passed, gradients, out=out)


@kernel("Relu6", elementwise="broadcast")
def relu6(xp: Any, features: Any, out: Any = None) -> Any:
    """Each element, but not below zero nor above six."""
    number = features.dtype.type
    return xp.minimum(xp.maximum(features, number(0), out=out), number(6), out=out)


@kernel("Relu6Grad", elementwise="same")
def relu6_grad(xp: Any, gradients: Any, features: Any) -> Any:
    """The gradients where features are between zero and six."""
    refuse_other_shapes(gradients, features)
    passed = features > 0
    passed &= features < 6
    passed = passed.astype(features.dtype)
    passed *= gradients
    return passed


@kernel("LeakyRelu", elementwise="broadcast")
def leaky_relu(xp: Any, features: Any, alpha: float) -> Any:
    """Each element where positive, else `alpha` times it."""
    scaled = features * features.dtype.type(np.float32(alpha))
    return (xp.maximum if alpha <= 1 else xp.minimum)(features, scaled)


@kernel("LeakyReluGrad", elementwise="same")
def leaky_relu_grad(xp: Any, gradients: Any, features: Any, alpha: float) -> Any:
    """The gradients where features are positive, else `alpha` times them."""
    refuse_other_shapes(gradients, features)
    slope = features.dtype.type(np.float32(alpha))
    if not 0 <= alpha <= 1:
        return xp.where(features > 0, gradients, gradients * slope)
    factor = xp.maximum((features > 0).astype(features.dtype), slope)
    factor *= gradients
    return factor


@kernel("Elu", elementwise="broadcast")
def elu(xp: Any, features: Any) -> Any:
    """Each element where positive, else `exp` of it less one."""
    zero, one = features.dtype.type(0), features.dtype.type(1)
    result = function(xp, "exp", features.dtype)(xp.minimum(features, zero))
    result -= one
    result += xp.maximum(features, zero)
    return result


@kernel("EluGrad", elementwise="same")
def elu_grad(xp: Any, gradients: Any, outputs: Any) -> Any:
    """The gradients, times `outputs + 1` where outputs are negative."""
    refuse_other_shapes(gradients, outputs)
    factor = xp.minimum(outputs, outputs.dtype.type(0))
    factor += outputs.dtype.type(1)
    factor *= gradients
    return factor


@kernel("Selu", elementwise="broadcast")
def selu(xp: Any, features: Any) -> Any:
    """Each element where positive, else a multiple of `exp` of it less one; scaled."""
    number = features.dtype.type
    result = function(xp, "exp", features.dtype)(xp.minimum(features, number(0)))
    result -= number(1)
    result *= number(_SELU_SCALE_ALPHA)
    result += xp.maximum(features, number(0)) * number(_SELU_SCALE)
    return result


@kernel("SeluGrad", elementwise="same")
def selu_grad(xp: Any, gradients: Any, outputs: Any) -> Any:
    """The gradients times the slope that led to these outputs."""
    refuse_other_shapes(gradients, outputs)
    number = outputs.dtype.type
    factor = (outputs < 0).astype(outputs.dtype)
    factor *= number(_SELU_SCALE_ALPHA - _SELU_SCALE)
    factor += xp.minimum(outputs, number(0))
    factor += number(_SELU_SCALE)
    factor *= gradients
    return factor


@kernel("Softplus", elementwise="broadcast")
def softplus(xp: Any, features: Any) -> Any:
    """`log(1 + exp(x))`, written so that `exp` cannot overflow."""
    one = features.dtype.type(1)
    power = xp.empty_like(features)
    xp.absolute(features, out=power)
    xp.negative(power, out=power)
    function(xp, "exp", power.dtype)(power, out=power)
    # log1p, but several times faster: what rounding took from 1 + power is put back after the log.
    result = xp.empty_like(features)
    xp.add(power, one, out=result)
    lost = xp.subtract(result, one)
    lost -= power
    lost /= result
    function(xp, "log", result.dtype)(result, out=result)
    result -= lost
    result += xp.maximum(features, features.dtype.type(0), out=power)
    return result


@kernel("SoftplusGrad", elementwise="same")
def softplus_grad(xp: Any, gradients: Any, features: Any) -> Any:
    """The gradients times the sigmoid of the features."""
    refuse_other_shapes(gradients, features)
    result = xp.empty_like(features)
    xp.negative(features, out=result)
    function(xp, "exp", result.dtype)(result, out=result)
    result += features.dtype.type(1)
    return xp.divide(gradients, result, out=result)


@kernel("Softsign", elementwise="broadcast")
def softsign(xp: Any, features: Any) -> Any:
    """Each element over one more than its absolute value."""
    result = xp.empty_like(features)
    xp.absolute(features, out=result)
    result += features.dtype.type(1)
    return xp.divide(features, result, out=result)


@kernel("SoftsignGrad", elementwise="same")
def softsign_grad(xp: Any, gradients: Any, features: Any) -> Any:
    """The gradients over the square of one more than the absolute value."""
    refuse_other_shapes(gradients, features)
    result = xp.empty_like(features)
    xp.absolute(features, out=result)
    result += features.dtype.type(1)
    result *= result
    return xp.divide(gradients, result, out=result)


# --- softmax --------------------------------------------------------------------------------------


def row_maximum(xp: Any, x: Any) -> Any:
    """The greatest element of each row of a matrix, as a column."""
    if x.shape[1] < _SHORT_ROW:
        return xp.ascontiguousarray(x.T).max(axis=0)[:, None]
    return x.max(axis=1, keepdims=True)


def row_sum(xp: Any, x: Any) -> Any:
    """The sum of each row of a matrix, as a column."""
    if x.shape[1] < _SHORT_ROW:
        return xp.matmul(x, xp.ones((x.shape[1], 1), x.dtype))
    if x.shape[1] < _LONG_ROW:
        return xp.einsum("ij->i", x)[:, None]  # as exact as BLAS, and twice as fast as `sum`
    return x.sum(axis=1, keepdims=True)


def _rows(logits: Any) -> Any:
    if not logits.ndim:
        raise InvalidArgumentError(None, None, "logits must have >= 1 dimension, got []")
    return logits.reshape(-1, logits.shape[-1])


def by_rows(xp: Any, rows: int, columns: int, task: Callable[[int, int], object]) -> None:
    """Run `task(start, stop)` for blocks of rows of a matrix, on all cores if it is large."""
    step = even_rows(rows, 4 * columns, _BLOCK)
    if rows <= step:
        task(0, rows)
    else:
        run_blocks(xp, rows, step, task)


def shift_rows(xp: Any, rows: Any, out: Any) -> None:
    """Rows less their greatest element."""
    if out.dtype == rows.dtype:
        xp.subtract(rows, row_maximum(xp, rows), out=out)
    else:
        out[...] = rows
        xp.subtract(out, row_maximum(xp, out), out=out)


def wide_room(take: Any, out: Any) -> Any:
    """`out` itself, or room for it in float32 if that is what it is computed in."""
    return take(out.shape, "float32") if out.dtype.itemsize == 2 else out


def _by_rows_of(
    xp: Any,
    logits: Any,
    task: Callable[..., object],
    done: Callable[..., bool] = lambda *_: False,
) -> Any:
    """An array like the logits, written in blocks of rows.

    `task(take, out)` changes rows of which the greatest element has been taken away, unless
    `done(xp, rows, out)` has written them.
    """
    result = xp.empty(logits.shape, logits.dtype)
    if not logits.size:
        return result
    rows, out = _rows(logits), _rows(result)

    def block(start: int, stop: int) -> None:
        if done(xp, rows[start:stop], out[start:stop]):
            return
        with Workspace(xp) as take:
            wide = wide_room(take, out[start:stop])
            shift_rows(xp, rows[start:stop], wide)
            task(take, wide)
            if wide.dtype != out.dtype:
                out[start:stop] = wide

    by_rows(xp, *rows.shape, block)
    return result


@kernel("Softmax")
def softmax(xp: Any, logits: Any) -> Any:
    """`exp(x)` over its sum along the last dimension."""

    def divide(_: Any, shifted: Any) -> None:
        function(xp, "exp", shifted.dtype)(shifted, out=shifted)
        shifted /= row_sum(xp, shifted)

    return _by_rows_of(xp, logits, divide, nn_library.softmax)


@kernel("LogSoftmax")
def log_softmax(xp: Any, logits: Any) -> Any:
    """`x - log(sum(exp(x)))` along the last dimension."""

    def subtract(take: Any, shifted: Any) -> None:
        exp, log = [function(xp, name, shifted.dtype) for name in ("exp", "log")]
        powers = exp(shifted, out=take(shifted.shape, shifted.dtype))
        shifted -= log(row_sum(xp, powers))

    return _by_rows_of(xp, logits, subtract)


# --- biases ---------------------------------------------------------------------------------------


def _refuse_bad_bias(value: Any, bias: Any, channel: int) -> None:
    if value.ndim < 2:
        raise InvalidArgumentError(
            None, None, f"Input tensor must be at least 2D: {debug_string(value.shape)}"
        )
    if bias.ndim != 1:
        raise InvalidArgumentError(None, None, f"Biases must be 1D: {debug_string(bias.shape)}")
    if bias.shape[0] != value.shape[channel]:
        raise InvalidArgumentError(
            None,
            None,
            "Must provide as many biases as the last dimension of the input tensor: "
            f"{debug_string(bias.shape)} vs. {debug_string(value.shape)}",
        )


def _spell_bias_add(inputs: Sequence[Any], attrs: Any, constant: Any) -> Spelling | None:
    value, bias = (tensor._shape or () for tensor in inputs)
    if attrs["data_format"] != b"NHWC" or len(value) < 2 or len(bias) != 1:
        return None
    # A variable may have another shape than the graph says.
    fits, refused = "{0}.shape[-1:] == {1}.shape", "{refuse}({0}, {1}, -1)"
    text = f"{{result}} = {{add}}({{0}}, {{1}}{{out}}) if {fits} else {refused}"
    return Spelling(text, {"add": np.add, "refuse": _refuse_bad_bias})


@kernel("BiasAdd", elementwise="bias", spells=_spell_bias_add)
def bias_add(xp: Any, value: Any, bias: Any, data_format: bytes, out: Any = None) -> Any:
    """The sum, with the vector along the channels."""
    if data_format == b"NHWC":
        if value.ndim < 2 or bias.shape != value.shape[-1:]:
            _refuse_bad_bias(value, bias, -1)
    else:
        _refuse_bad_bias(value, bias, 1)
        bias = bias.reshape(-1, *(1,) * (value.ndim - 2))
    return xp.add(value, bias, out=out)


@kernel("BiasAddV1", elementwise="bias")
def bias_add_v1(xp: Any, value: Any, bias: Any, out: Any = None) -> Any:
    """The sum, with the vector along the last dimension."""
    _refuse_bad_bias(value, bias, -1)
    return xp.add(value, bias, out=out)


@kernel("BiasAddGrad", traces=True)
def bias_add_grad(xp: Any, out_backprop: Any, data_format: bytes) -> Any:
    """The sum over all but the channels."""
    if out_backprop.ndim < 2:
        raise InvalidArgumentError(
            None, None, f"Input tensor must be at least 2D: {debug_string(out_backprop.shape)}"
        )
    dtype, shape = out_backprop.dtype, out_backprop.shape
    if data_format == b"NHWC":
        rows = widened(out_backprop).reshape(-1, shape[-1]) if shape[-1] else out_backprop
    else:
        # A row of each example, then all examples.
        blocks = widened(out_backprop).reshape(*shape[:2], math.prod(shape[2:]))
        rows = blocks.sum(axis=2, dtype=blocks.dtype)
    is_large = xp is np and rows.nbytes > _BLOCK
    if rows.dtype.kind not in "fc" or not (is_large or 0 < rows.shape[-1] < _SHORT_ROW):
        return rows.reshape(-1, rows.shape[-1]).sum(axis=0, dtype=rows.dtype).astype(dtype)
    if is_large:
        return _column_sums(xp, rows).astype(dtype, copy=False)
    return xp.matmul(xp.ones(rows.shape[0], rows.dtype), rows).astype(dtype, copy=False)


def _column_sums(xp: Any, rows: Any) -> Any:
    """The sums of columns, by BLAS, of blocks of rows."""
    count, columns = rows.shape
    step = even_rows(count, columns * rows.itemsize, _BLOCK)
    ones = xp.ones(step, rows.dtype)
    found = xp.empty((-(-count // step), columns), rows.dtype)

    def add_up(start: int, stop: int) -> None:
        xp.matmul(ones[: stop - start], rows[start:stop], out=found[start // step])

    run_blocks(xp, count, step, add_up)
    return found.sum(axis=0)


# --- norms ----------------------------------------------------------------------------------------


@kernel("L2Loss")
def l2_loss(xp: Any, t: Any) -> Any:
    """Half the sum of squares."""
    flat = widened(t).reshape(-1)
    return (xp.dot(flat, flat) * flat.dtype.type(0.5)).astype(t.dtype)
