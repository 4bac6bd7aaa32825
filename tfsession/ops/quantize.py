"""Numbers of few bits: into quantized types and back, and floats rounded as if they had been.

Quantized numbers are whole ones that stand for a range of floats, which goes along with them.
"""

from __future__ import annotations

from typing import Any, Final

from tfsession.core.dtypes import float32
from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import same_as, with_rank, with_rank_at_least
from tfsession.graph.tensor import Tensor

_QUANTIZED: Final = "{qint8, quint8, qint32, qint16, quint16}"
_FLOATS: Final = "{bfloat16, half, float, double}"
_MODES: Final = "mode: {'MIN_COMBINED', 'MIN_FIRST', 'SCALED'} = 'MIN_COMBINED'"
_NARROW: Final = "narrow_range: bool = false"
_AXIS: Final = "axis: int = -1"

# --- definitions ----------------------------------------------------------------------------------


def _check_range(op: Operation, axis: int, first: int = 1) -> Shape:
    """The shape of the ends of a range: scalars, or vectors along an axis of the input."""
    shape = op.inputs[0]._shape
    ends: Shape = ()
    if axis >= 0:
        found = with_rank_at_least(shape, axis + 1)
        ends = (None if found is None else found[axis],)
    for tensor in op.inputs[first : first + 2]:
        merge(with_rank(tensor._shape, 0 if axis < 0 else 1), ends)
    return ends


def _quantized_shape(op: Operation) -> list[Shape]:
    ends = _check_range(op, op.attrs["axis"])
    return [op.inputs[0]._shape, ends, ends]


def _dequantized_shape(op: Operation) -> list[Shape]:
    _check_range(op, op.attrs["axis"])
    return [op.inputs[0]._shape]


define_op(
    "QuantizeV2",
    inputs=["input: float", "min_range: float", "max_range: float"],
    outputs=["output: T", "output_min: float", "output_max: float"],
    attrs=[
        *(f"T: {_QUANTIZED}", _MODES),
        "round_mode: {'HALF_AWAY_FROM_ZERO', 'HALF_TO_EVEN'} = 'HALF_AWAY_FROM_ZERO'",
        *(_NARROW, _AXIS, "ensure_minimum_range: float = 0.01"),
    ],
    shape=_quantized_shape,
)
define_op(
    "Dequantize",
    inputs=["input: T", "min_range: float", "max_range: float"],
    outputs=["output: dtype"],
    attrs=[f"T: {_QUANTIZED}", _MODES, _NARROW, _AXIS, "dtype: {bfloat16, float} = DT_FLOAT"],
    shape=_dequantized_shape,
)
define_op(
    "QuantizeAndDequantizeV2",
    inputs=["input: T", "input_min: T", "input_max: T"],
    outputs=["output: T"],
    attrs=[
        *("signed_input: bool = true", "num_bits: int = 8", "range_given: bool = false"),
        *(f"T: {_FLOATS}", "round_mode: {'HALF_TO_EVEN', 'HALF_UP'} = 'HALF_TO_EVEN'"),
        *(_NARROW, _AXIS),
    ],
    shape=_dequantized_shape,
)
define_op(
    "QuantizeAndDequantizeV3",
    inputs=["input: T", "input_min: T", "input_max: T", "num_bits: int32"],
    outputs=["output: T"],
    attrs=[
        *("signed_input: bool = true", "range_given: bool = true", f"T: {_FLOATS}"),
        *(_NARROW, _AXIS),
    ],
    shape=_dequantized_shape,
)

_BITS: Final = ("num_bits: int = 8", _NARROW)
_ENDS: Final = ("min: float = -6.0", "max: float = 6.0")
define_op(
    "FakeQuantWithMinMaxArgs",
    inputs=["inputs: float"],
    outputs=["outputs: float"],
    attrs=[*_ENDS, *_BITS],
    shape=same_as(0),
)
define_op(
    "FakeQuantWithMinMaxArgsGradient",
    inputs=["gradients: float", "inputs: float"],
    outputs=["backprops: float"],
    attrs=[*_ENDS, *_BITS],
    shape=same_as(0),
)


def _ends_of(op: Operation, first: int) -> tuple[Shape, Shape]:
    """The shapes of the numbers and of the ends that belong to them, or to their channels."""
    shape = op.inputs[0]._shape
    if first == 2:
        shape = merge(shape, op.inputs[1]._shape)
    if "PerChannel" not in op.type:
        for tensor in op.inputs[first:]:
            with_rank(tensor._shape, 0)
        return shape, ()
    found = with_rank_at_least(shape, 1)
    ends: Shape = (None if found is None else found[-1],)
    for tensor in op.inputs[first:]:
        ends = merge(with_rank(tensor._shape, 1), ends)
    return shape, ends


def _fake_shape(op: Operation) -> list[Shape]:
    return [_ends_of(op, 1)[0]]


def _fake_back_shape(op: Operation) -> list[Shape]:
    shape, ends = _ends_of(op, 2)
    return [shape, ends, ends]


for _name in ("FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel"):
    define_op(
        _name,
        inputs=["inputs: float", "min: float", "max: float"],
        outputs=["outputs: float"],
        attrs=_BITS,
        shape=_fake_shape,
    )
    define_op(
        f"{_name}Gradient",
        inputs=["gradients: float", "inputs: float", "min: float", "max: float"],
        outputs=[
            *("backprops_wrt_input: float", "backprop_wrt_min: float", "backprop_wrt_max: float"),
        ],
        attrs=_BITS,
        shape=_fake_back_shape,
    )

# --- builders -------------------------------------------------------------------------------------


@export("quantization.quantize", "quantize")
def quantize(
    input: Any,
    min_range: Any,
    max_range: Any,
    T: Any,
    mode: str = "MIN_COMBINED",
    round_mode: str = "HALF_AWAY_FROM_ZERO",
    name: str | None = None,
    narrow_range: bool = False,
    axis: int | None = None,
    ensure_minimum_range: float = 0.01,
) -> Any:
    """Floats as numbers of a quantized type.

    Args:
        input: float32 tensor.
        min_range, max_range: what the least and the greatest number stand for: scalars, or vectors
            along `axis`.
        T: qint8, quint8, qint16, quint16 or qint32.
        mode: "MIN_COMBINED", "MIN_FIRST" or "SCALED", where zero stays zero.
        round_mode: "HALF_AWAY_FROM_ZERO"; or "HALF_TO_EVEN", in mode "SCALED" only.
        name: of the operation.
        narrow_range: leave out the least number, in mode "SCALED".
        axis: the dimension that has a range for each index; None for one range.
        ensure_minimum_range: how far the ends are apart at least, as a share of the greater one.

    Returns:
        The numbers, and the ends of the range as it was taken: `output, output_min, output_max`.
    """
    attrs = {
        "T": T,
        "mode": mode,
        "round_mode": round_mode,
        "narrow_range": narrow_range,
        "axis": -1 if axis is None else axis,
        "ensure_minimum_range": ensure_minimum_range,
    }
    return create_op("QuantizeV2", [input, min_range, max_range], attrs, name)


@export("quantize_v2")
def quantize_v2(
    input: Any,
    min_range: Any,
    max_range: Any,
    T: Any,
    mode: str = "MIN_COMBINED",
    name: str | None = None,
    round_mode: str = "HALF_AWAY_FROM_ZERO",
    narrow_range: bool = False,
    axis: int | None = None,
    ensure_minimum_range: float = 0.01,
) -> Any:
    """As `tf.quantize`, with its parameters in another order."""
    return quantize(
        input, min_range, max_range, T, mode, round_mode, name, narrow_range, axis,
        ensure_minimum_range,
    )  # fmt: skip


@export("quantization.dequantize", "dequantize")
def dequantize(
    input: Any,
    min_range: Any,
    max_range: Any,
    mode: str = "MIN_COMBINED",
    name: str | None = None,
    axis: int | None = None,
    narrow_range: bool = False,
    dtype: Any = float32,
) -> Tensor:
    """The floats that quantized numbers stand for; the arguments are those of `quantize`.

    Args:
        input: tensor of a quantized type.
        min_range, max_range, mode, axis, narrow_range: as in `quantize`.
        name: of the operation.
        dtype: float32 or bfloat16.
    """
    attrs = {
        "mode": mode,
        "narrow_range": narrow_range,
        "axis": -1 if axis is None else axis,
        "dtype": dtype,
    }
    result: Tensor = create_op("Dequantize", [input, min_range, max_range], attrs, name)
    return result


@export("quantization.quantize_and_dequantize", "quantization.quantize_and_dequantize_v2")
def quantize_and_dequantize(
    input: Any,
    input_min: Any,
    input_max: Any,
    signed_input: bool = True,
    num_bits: int = 8,
    range_given: bool = False,
    round_mode: str = "HALF_TO_EVEN",
    name: str | None = None,
    narrow_range: bool = False,
    axis: int | None = None,
) -> Tensor:
    """Floats rounded to what numbers of few bits can stand for; zero stays zero.

    Args:
        input: a tensor of floats.
        input_min, input_max: the ends of the range, where `range_given`.
        signed_input: whether there are negative numbers.
        num_bits: how many bits the numbers have.
        range_given: False takes the least and the greatest of `input`.
        round_mode: "HALF_TO_EVEN" or "HALF_UP".
        name: of the operation.
        narrow_range: leave out the least number.
        axis: the dimension that has a range for each index; None for one range.
    """
    numbers = convert_to_tensor(input)
    ends = [convert_to_tensor(end, numbers.dtype) for end in (input_min, input_max)]
    attrs = {
        "signed_input": signed_input,
        "num_bits": num_bits,
        "range_given": range_given,
        "round_mode": round_mode,
        "narrow_range": narrow_range,
        "axis": -1 if axis is None else axis,
    }
    result: Tensor = create_op("QuantizeAndDequantizeV2", [numbers, *ends], attrs, name)
    return result


def _exported(name: str) -> tuple[str, str]:
    return f"quantization.{name}", name


@export(*_exported("fake_quant_with_min_max_args"))
def fake_quant_with_min_max_args(
    inputs: Any,
    min: float = -6,
    max: float = 6,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Tensor:
    """Floats rounded to the steps of a range, which is moved so that zero is one of them.

    Args:
        inputs: float32 tensor.
        min, max: the ends of the range.
        num_bits: 2 to 16; there are `2**num_bits` steps.
        narrow_range: one step less.
        name: of the operation.
    """
    attrs = {"min": min, "max": max, "num_bits": num_bits, "narrow_range": narrow_range}
    result: Tensor = create_op("FakeQuantWithMinMaxArgs", [inputs], attrs, name)
    return result


@export(*_exported("fake_quant_with_min_max_args_gradient"))
def fake_quant_with_min_max_args_gradient(
    gradients: Any,
    inputs: Any,
    min: float = -6,
    max: float = 6,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Tensor:
    """The gradients where `inputs` are in the range, zero elsewhere."""
    attrs = {"min": min, "max": max, "num_bits": num_bits, "narrow_range": narrow_range}
    result: Tensor = create_op("FakeQuantWithMinMaxArgsGradient", [gradients, inputs], attrs, name)
    return result


@export(*_exported("fake_quant_with_min_max_vars"))
def fake_quant_with_min_max_vars(
    inputs: Any,
    min: Any,
    max: Any,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Tensor:
    """As `fake_quant_with_min_max_args`, with scalars for the ends of the range."""
    attrs = {"num_bits": num_bits, "narrow_range": narrow_range}
    result: Tensor = create_op("FakeQuantWithMinMaxVars", [inputs, min, max], attrs, name)
    return result


@export(*_exported("fake_quant_with_min_max_vars_gradient"))
def fake_quant_with_min_max_vars_gradient(
    gradients: Any,
    inputs: Any,
    min: Any,
    max: Any,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Any:
    """The gradients of the inputs and of both ends: to an end goes what lies beyond it."""
    attrs = {"num_bits": num_bits, "narrow_range": narrow_range}
    inputs = [gradients, inputs, min, max]
    return create_op("FakeQuantWithMinMaxVarsGradient", inputs, attrs, name)


@export(*_exported("fake_quant_with_min_max_vars_per_channel"))
def fake_quant_with_min_max_vars_per_channel(
    inputs: Any,
    min: Any,
    max: Any,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Tensor:
    """As `fake_quant_with_min_max_args`, with a range for each index of the last dimension."""
    attrs = {"num_bits": num_bits, "narrow_range": narrow_range}
    result: Tensor = create_op("FakeQuantWithMinMaxVarsPerChannel", [inputs, min, max], attrs, name)
    return result


@export(*_exported("fake_quant_with_min_max_vars_per_channel_gradient"))
def fake_quant_with_min_max_vars_per_channel_gradient(
    gradients: Any,
    inputs: Any,
    min: Any,
    max: Any,
    num_bits: int = 8,
    narrow_range: bool = False,
    name: str | None = None,
) -> Any:
    """The gradients of the inputs and of both ends of each channel."""
    attrs = {"num_bits": num_bits, "narrow_range": narrow_range}
    inputs = [gradients, inputs, min, max]
    return create_op("FakeQuantWithMinMaxVarsPerChannelGradient", inputs, attrs, name)
