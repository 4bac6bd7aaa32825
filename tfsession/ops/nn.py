"""Layers' small parts: activations, softmax, biases, and norms of single tensors.

Losses of logits stand in `cross_entropy.py`, ranking in `top_k.py`, means and variances in
`moments.py`.
"""

from __future__ import annotations

from typing import Any

from tfsession.core import dtypes
from tfsession.core import shape as shape_lib
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_op, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import (
    merge_dims,
    merged,
    same_as,
    scalar,
    unchanged,
    with_rank,
    with_rank_at_least,
)
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast, complex_, imag, real
from tfsession.ops.compare import equal, less, not_equal, where, where_v2
from tfsession.ops.constant import identity, zeros
from tfsession.ops.elementwise import maximum, multiply, subtract
from tfsession.ops.join import concat
from tfsession.ops.matmul import matmul
from tfsession.ops.reduce import reduce_sum
from tfsession.ops.sequence import range_
from tfsession.ops.shape import rank, renamed
from tfsession.ops.shape import size as size_of
from tfsession.ops.transpose import transpose
from tfsession.ops.unary import negative, rsqrt, sigmoid, square

_FLOATS = "{half, bfloat16, float, double}"
_FEATURES, _ACTIVATIONS = ["features: T"], ["activations: T"]
_BACKPROPS = ["backprops: T"]

define_op(
    "Relu",
    _FEATURES,
    _ACTIVATIONS,
    ["T: {float, double, int32, uint8, int16, int8, int64, bfloat16, uint16, half, uint32, "
     "uint64, qint8}"],
    same_as(0),
)  # fmt: skip
define_op("Relu6", _FEATURES, _ACTIVATIONS, ["T: realnumbertype"], same_as(0))
define_op(
    "LeakyRelu",
    _FEATURES,
    _ACTIVATIONS,
    ["alpha: float = 0.2", f"T: {_FLOATS} = DT_FLOAT"],
    same_as(0),
)
for _name in ("Elu", "Selu", "Softplus", "Softsign"):
    define_op(_name, _FEATURES, _ACTIVATIONS, [f"T: {_FLOATS}"], same_as(0))
_BY_FEATURES = ["gradients: T", "features: T"]
for _name in ("ReluGrad", "Relu6Grad"):
    define_op(_name, _BY_FEATURES, _BACKPROPS, ["T: realnumbertype"], merged)
define_op(
    "LeakyReluGrad",
    _BY_FEATURES,
    _BACKPROPS,
    ["alpha: float = 0.2", f"T: {_FLOATS} = DT_FLOAT"],
    merged,
)
for _name in ("SoftplusGrad", "SoftsignGrad"):
    define_op(_name, _BY_FEATURES, _BACKPROPS, [f"T: {_FLOATS}"], merged)
for _name in ("EluGrad", "SeluGrad"):
    define_op(_name, ["gradients: T", "outputs: T"], _BACKPROPS, [f"T: {_FLOATS}"], merged)
define_op("Softmax", ["logits: T"], ["softmax: T"], [f"T: {_FLOATS}"], unchanged(min_rank=1))
define_op("LogSoftmax", ["logits: T"], ["logsoftmax: T"], [f"T: {_FLOATS}"], unchanged(min_rank=1))
define_op("L2Loss", ["t: T"], ["output: T"], [f"T: {_FLOATS}"], scalar)


def _is_channel_first(op: Operation) -> bool:
    return bool(op.attrs["data_format"] == b"NCHW")


def _bias_add_shape(op: Operation) -> list[Shape]:
    channel, least = (1, 3) if _is_channel_first(op) else (-1, 2)
    value, bias = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    with_rank_at_least(value, least)
    if value is None or bias is None:
        return [None]
    shape = list(value)
    shape[channel] = merge_dims(value[channel], bias[0])
    return [tuple(shape)]


def _bias_add_v1_shape(op: Operation) -> list[Shape]:
    value, bias = op.inputs[0]._shape, with_rank(op.inputs[1]._shape, 1)
    with_rank_at_least(value, 2)
    if value is None or bias is None:
        return [None]
    return [(*value[:-1], merge_dims(value[-1], bias[0]))]


def _bias_add_grad_shape(op: Operation) -> list[Shape]:
    channel, least = (1, 3) if _is_channel_first(op) else (-1, 2)
    shape = with_rank_at_least(op.inputs[0]._shape, least)
    return [(None if shape is None else shape[channel],)]


_DATA_FORMAT = "data_format: {'NHWC', 'NCHW'} = 'NHWC'"
define_op(
    "BiasAdd",
    inputs=["value: T", "bias: T"],
    outputs=["output: T"],
    attrs=["T: numbertype", _DATA_FORMAT],
    shape=_bias_add_shape,
)
define_op(
    "BiasAddV1",
    inputs=["value: T", "bias: T"],
    outputs=["output: T"],
    attrs=["T: numbertype"],
    shape=_bias_add_v1_shape,
)
define_op(
    "BiasAddGrad",
    inputs=["out_backprop: T"],
    outputs=["output: T"],
    attrs=["T: numbertype", _DATA_FORMAT],
    shape=_bias_add_grad_shape,
)

# --- activations ----------------------------------------------------------------------------------


@export("nn.relu")
def relu(features: Any, name: str | None = None) -> Tensor:
    """`max(features, 0)`."""
    return create_op("Relu", (features,), None, name)


@export("nn.relu6")
def relu6(features: Any, name: str | None = None) -> Tensor:
    """`min(max(features, 0), 6)`."""
    with graph_of((features,)).as_default() as graph, graph.name_scope(name or "Relu6") as scope:
        features = convert_to_tensor(features, name="features")
        return create_op("Relu6", (features,), None, scope)


@export("nn.crelu")
def crelu(features: Any, name: str | None = None, axis: int = -1) -> Tensor:
    """`relu` of `features` and of `-features`, one after the other along `axis`."""
    with graph_of((features,)).as_default() as graph, graph.name_scope(name or "CRelu") as scope:
        features = convert_to_tensor(features, name="features")
        both = concat([features, negative(features)], axis, scope)
        return relu(both)


@export("nn.leaky_relu")
def leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Tensor:
    """`features` where positive, else `alpha * features`; integers become float32."""
    graph = graph_of((features,))
    with graph.as_default(), graph.name_scope(name or "LeakyRelu") as scope:
        features = convert_to_tensor(features, name="features")
        if features.dtype.is_integer:
            features = cast(features, dtypes.float32)
        return create_op("LeakyRelu", (features,), {"alpha": alpha}, scope)


@export("nn.elu")
def elu(features: Any, name: str | None = None) -> Tensor:
    """`features` where positive, else `exp(features) - 1`."""
    return create_op("Elu", (features,), None, name)


@export("nn.selu")
def selu(features: Any, name: str | None = None) -> Tensor:
    """The scaled `elu`, which keeps mean zero and variance one."""
    return create_op("Selu", (features,), None, name)


@export("nn.swish", "nn.silu")
def swish(features: Any, beta: Any = 1.0) -> Tensor:
    """`features * sigmoid(beta * features)`."""
    with graph_of((features, beta)).as_default():
        features = convert_to_tensor(features, name="features")
        beta = cast(convert_to_tensor(beta, name="beta"), features.dtype)
        result = features * sigmoid(beta * features)
        identity(result)
        # The gradient is that of the whole, so that nothing but the inputs is kept for it.
        attrs = {"_gradient_op_type": b"Swish"}
        outputs: list[Tensor] = create_op("IdentityN", ([result, features, beta],), attrs)
        return outputs[0]


@export("nn.softplus", "math.softplus")
def softplus(features: Any, name: str | None = None) -> Tensor:
    """`log(1 + exp(features))`."""
    return create_op("Softplus", (features,), None, name)


@export("nn.softsign", "math.softsign")
def softsign(features: Any, name: str | None = None) -> Tensor:
    """`features / (1 + abs(features))`."""
    return create_op("Softsign", (features,), None, name)


@export("log_sigmoid", "math.log_sigmoid")
def log_sigmoid(x: Any, name: str | None = None) -> Tensor:
    """`log(sigmoid(x))`."""
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "LogSigmoid") as scope:
        return negative(softplus(negative(convert_to_tensor(x, name="x"))), scope)


# --- softmax --------------------------------------------------------------------------------------


@export("nn.softmax", "math.softmax")
def softmax(logits: Any, axis: Any = None, name: str | None = None, dim: Any = None) -> Tensor:
    """Probabilities along `axis`, the last one by default: `exp(logits)` over its sum.

    Raises:
        InvalidArgumentError: `logits` has no such dimension.
        ValueError: `axis` and its older name `dim` are both given.
    """
    return _along_axis("Softmax", logits, renamed("axis", axis, "dim", dim), name)


@export("nn.log_softmax", "math.log_softmax")
def log_softmax(logits: Any, axis: Any = None, name: str | None = None, dim: Any = None) -> Tensor:
    """The logarithm of `softmax`, exact where that is small.

    Raises:
        InvalidArgumentError: `logits` has no such dimension.
        ValueError: `axis` and its older name `dim` are both given.
    """
    return _along_axis("LogSoftmax", logits, renamed("axis", axis, "dim", dim), name)


def _along_axis(op_type: str, logits: Any, axis: Any, name: str | None) -> Tensor:
    """What an operation along the last dimension gives along another: transpose there and back."""
    logits = convert_to_tensor(logits)
    axis = -1 if axis is None else axis
    ndims = None if logits._shape is None else len(logits._shape)
    with logits.graph.as_default():
        is_tensor = isinstance(axis, Tensor)
        if not is_tensor and (axis == -1 or (ndims is not None and axis == ndims - 1)):
            return create_op(op_type, (logits,), None, name)
        if not is_tensor and ndims is not None and not -ndims <= axis < ndims:
            raise InvalidArgumentError(
                None,
                None,
                f"`dim` must be in the range [{-ndims}, {ndims}) where {ndims} is the number of "
                f"dimensions in the input. Received: dim={axis}",
            )
        count = rank(logits)
        if is_tensor:
            axis = where(less(axis, 0), axis + count, axis)
        elif axis < 0:
            axis = axis + count
        count = rank(logits)
        if isinstance(axis, Tensor):
            axis = axis % (count if ndims is None else ndims)
        if ndims is None:
            return _along_axis_of_unknown_rank(op_type, logits, axis, count, name)
        swapped = _swap_with_last(logits, axis, count)
        result = _swap_with_last(create_op(op_type, (swapped,)), axis, count, name)
        result._shape = shape_lib.merge(result._shape, logits._shape)
        return result


def _swap_with_last(x: Tensor, axis: Any, count: Tensor, name: str | None = None) -> Tensor:
    last = subtract(count, 1)
    order = [range_(axis), [last], range_(axis + 1, last), [axis]]
    return transpose(x, concat(order, 0), name or "transpose")


def _along_axis_of_unknown_rank(
    op_type: str, logits: Tensor, axis: Any, count: Tensor, name: str | None
) -> Tensor:
    """As `_swap_with_last` there and back, where `axis` may turn out to be the last."""
    places, last = range_(count), subtract(count, 1)
    order = where_v2(equal(places, axis), last, where_v2(equal(places, last), axis, places))
    result = create_op(op_type, (transpose(logits, order),))
    return transpose(result, order, name or "transpose")


# --- biases ---------------------------------------------------------------------------------------


@export("nn.bias_add")
def bias_add(
    value: Any, bias: Any, data_format: str | None = None, name: str | None = None
) -> Tensor:
    """`value + bias`, a vector along the channels: the last dimension, or the second one.

    Args:
        value: tensor of rank 2 or more.
        bias: vector with one number for each channel, of the type of `value`.
        data_format: "N...C" (None) or "NC..." tells where the channels are.
        name: name of the operation.

    Raises:
        ValueError: `data_format` is neither, or shapes or types do not fit.
    """
    inputs = (value, bias)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "BiasAdd") as scope:
        layout = b"NHWC"
        if data_format is not None:
            if data_format.startswith("NC"):
                layout = b"NCHW"
            elif not (data_format.startswith("N") and data_format.endswith("C")):
                raise ValueError(
                    "`data_format` must be of the form `N...C` or `NC...`. Received: "
                    f"data_format={data_format}"
                )
        value = convert_to_tensor(value, name="input")
        bias = convert_to_tensor(bias, value.dtype, name="bias")
        return create_op("BiasAdd", (value, bias), {"data_format": layout}, scope)


@export("nn.xw_plus_b")
def xw_plus_b(x: Any, weights: Any, biases: Any, name: str | None = None) -> Tensor:
    """`matmul(x, weights) + biases`."""
    inputs = (x, weights, biases)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "xw_plus_b") as scope:
        return bias_add(*_product_and_bias(x, weights, biases), name=scope)


@export("nn.relu_layer")
def relu_layer(x: Any, weights: Any, biases: Any, name: str | None = None) -> Tensor:
    """`relu(matmul(x, weights) + biases)`."""
    inputs = (x, weights, biases)
    with graph_of(inputs).as_default() as graph, graph.name_scope(name or "relu_layer") as scope:
        return relu(bias_add(*_product_and_bias(x, weights, biases)), scope)


def _product_and_bias(x: Any, weights: Any, biases: Any) -> tuple[Tensor, Tensor]:
    x = convert_to_tensor(x, name="x")
    weights = convert_to_tensor(weights, name="weights")
    biases = convert_to_tensor(biases, name="biases")
    return matmul(x, weights), biases


# --- norms of one tensor --------------------------------------------------------------------------


@export("nn.l2_loss")
def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares: `sum(t ** 2) / 2`, a scalar."""
    return create_op("L2Loss", (t,), None, name)


@export("nn.l2_normalize", "math.l2_normalize", "linalg.l2_normalize")
def l2_normalize(
    x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None, dim: Any = None
) -> Tensor:
    """`x / sqrt(max(sum(x ** 2), epsilon))`, sums along `axis` (None: all of `x`).

    Raises:
        ValueError: `axis` and its older name `dim` are both given.
    """
    axis = renamed("axis", axis, "dim", dim)
    with graph_of((x,)).as_default() as graph, graph.name_scope(name or "l2_normalize") as scope:
        x = convert_to_tensor(x, name="x")
        if not x.dtype.is_complex:
            return multiply(x, _inverse_norm(square(x), axis, epsilon), scope)
        squares = real(square(real(x)) + square(imag(x)))
        factor = _inverse_norm(squares, axis, epsilon)
        return complex_(multiply(real(x), factor), multiply(imag(x), factor), scope)


def _inverse_norm(squares: Tensor, axis: Any, epsilon: float) -> Tensor:
    return rsqrt(maximum(reduce_sum(squares, axis, keepdims=True), epsilon))


@export("nn.zero_fraction", "math.zero_fraction")
def zero_fraction(value: Any, name: str | None = None) -> Tensor:
    """The share of zeros among the elements, as float32; NaN of an empty tensor."""
    with graph_of((value,)).as_default() as graph, graph.name_scope(name or "zero_fraction"):
        value = convert_to_tensor(value, name="value")
        total = size_of(value, out_type=dtypes.int64)
        with graph.name_scope("count_nonzero"):
            ones = cast(not_equal(value, zeros([], value.dtype)), dtypes.int64)
            count = reduce_sum(ones, name="nonzero_count")
        with graph.name_scope("counts_to_fraction"):
            missing = cast(total - count, dtypes.float32)
            share = missing / cast(total, dtypes.float32)
        return identity(share, "fraction")
