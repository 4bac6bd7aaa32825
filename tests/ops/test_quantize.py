"""Numbers of few bits, and floats rounded as if they had been."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.testing import Row, case_name, check_row, floats, row_cases, value

TYPES = ["quint8", "qint8", "qint16", "quint16", "qint32"]
WIDE = floats(5, 7, low=-4.0, high=5.0)


def there_and_back(tf, x, low, high, dtype, mode, axis=None, **kwargs):
    """Whole numbers as floats, the range, and what they stand for."""
    T = getattr(tf, dtype)
    numbers, *ends = tf.quantization.quantize(x, low, high, T, mode, axis=axis, **kwargs)
    kwargs.pop("round_mode", None)
    kwargs.pop("ensure_minimum_range", None)
    back = tf.quantization.dequantize(numbers, *ends, mode, axis=axis, **kwargs)
    return [tf.cast(numbers, tf.int32), *ends, back]


def quantized(label, dtype, mode, low=-3.0, high=4.0, **kwargs):
    def build(tf, x, low, high):
        return there_and_back(tf, x, low, high, dtype, mode, **kwargs)

    inputs = [WIDE, value(low), value(high)]
    # Constants, which TensorFlow folds by its own kernels: those of oneDNN round otherwise.
    oracle = "it has another last number" if dtype == "qint32" else True
    return Row("QuantizeV2", build, inputs, label=f"{mode}-{dtype}{label}", oracle=oracle,
               constants=(0, 1, 2))  # fmt: skip


BY_ROW = {"low": [-1, -2, 0, -4, -9], "high": [1, 0, 3, 5, 0.5], "axis": 0}
ROWS = [
    *(quantized("", dtype, mode)
      for mode in ("MIN_COMBINED", "MIN_FIRST", "SCALED") for dtype in TYPES
      if (mode, dtype) != ("MIN_FIRST", "qint32")),
    *(quantized("-rows", "qint8", mode, **BY_ROW) for mode in ("MIN_COMBINED", "SCALED")),
    quantized("-even", "qint8", "SCALED", round_mode="HALF_TO_EVEN"),
    quantized("-narrow", "qint8", "SCALED", narrow_range=True),
    quantized("-close", "quint8", "MIN_COMBINED", 0.1, 0.1, ensure_minimum_range=0.5),
    Row("Dequantize", lambda tf, x: tf.dequantize(
        tf.bitcast(x, tf.quint8), 0.0, 6.0, mode="MIN_FIRST"), [value([[0, 1, 255]], "uint8")]),
    Row("Dequantize", lambda tf, x: tf.dequantize(tf.bitcast(x, tf.qint8), -1.0, 1.0,
        dtype=tf.bfloat16), [value([-128, 0, 127], "int8")], label="bfloat16"),
    *(
        Row("QuantizeAndDequantizeV2", lambda tf, x, low, high, **kwargs:
            tf.quantization.quantize_and_dequantize(x, low, high, **kwargs),
            [WIDE, value(low), value(high)], kwargs,
            dtypes=["float32", "float64"], label=f"{kwargs}{low}",
            oracle=np.ndim(low) == 0 or "axis" not in kwargs or "range_given" not in kwargs
            or "its kernel takes scalars only")
        for low, high, kwargs in (
            (0, 0, {}), (-3, 2, {"range_given": True}), (-1, 3, {"range_given": True}),
            (0, 3, {"range_given": True, "signed_input": False}), (0, 0, {"narrow_range": True}),
            (0, 0, {"num_bits": 4, "round_mode": "HALF_UP"}), ([0] * 7, [0] * 7, {"axis": 1}),
            (BY_ROW["low"], BY_ROW["high"], {"axis": 0, "range_given": True}),
        )
    ),
    Row("QuantizeAndDequantizeV3", lambda tf, x: tf.raw_ops.QuantizeAndDequantizeV3(
        input=x, input_min=-3.0, input_max=4.0, num_bits=6), [WIDE]),
    Row("QuantizeAndDequantizeV3", lambda tf, x: tf.raw_ops.QuantizeAndDequantizeV3(
        input=x, input_min=0.0, input_max=0.0, num_bits=6, range_given=False), [WIDE],
        label="its own range"),
    *(
        Row("FakeQuantWithMinMaxArgs", "quantization.fake_quant_with_min_max_args", [WIDE], kwargs,
            label=f"{kwargs}")
        for kwargs in ({}, {"min": -3.0, "max": 4.0, "num_bits": 4}, {"min": 1.0, "max": 2.0},
                       {"min": -2.0, "max": -1.0, "narrow_range": True})
    ),
    Row("FakeQuantWithMinMaxArgsGradient", "fake_quant_with_min_max_args_gradient",
        [floats(5, 7), WIDE], {"min": -2.0, "max": 3.0}),
    *(
        Row("FakeQuantWithMinMaxVars", "fake_quant_with_min_max_vars",
            [WIDE, value(low), value(high)], {"num_bits": bits, "narrow_range": bits == 3},
            label=f"{low} to {high}")
        for low, high, bits in ((-3, 4, 8), (-0.1, 2.3, 3), (0, 0, 8), (1, 2, 16))
    ),
    *(
        Row("FakeQuantWithMinMaxVarsGradient", "fake_quant_with_min_max_vars_gradient",
            [floats(5, 7), WIDE, value(low), value(high)], label=f"{low} to {high}")
        for low, high in ((-3, 4), (-0.1, 2.3), (0, 0))
    ),
    Row("FakeQuantWithMinMaxVarsPerChannel", "fake_quant_with_min_max_vars_per_channel",
        [WIDE, value([-1, -2, 0, -4, -3, 0, 1]), value([1, 0, 3, 5, 0.5, 0, 2])]),
    Row("FakeQuantWithMinMaxVarsPerChannelGradient",
        "quantization.fake_quant_with_min_max_vars_per_channel_gradient",
        [floats(5, 7), WIDE, value([-1, -2, 0, -4, -3, 0, 1]),
         value([1, 0, 3, 5, 0.5, 0, 2])]),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def test_gradients_go_straight_through(fresh_graph):
    x = tf.constant([-9.0, -1.0, 0.5, 9.0])
    low, high = tf.constant(-2.0), tf.constant(3.0)
    by_row = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        x[:, None] * [1.0, 0.1], tf.stack([low, low]), tf.stack([high, high])
    )
    made = [
        (tf.fake_quant_with_min_max_args(x, -2.0, 3.0), [x]),
        (tf.fake_quant_with_min_max_vars(x, low, high), [x, low, high]),
        (by_row, [x, low, high]),
        (tf.quantization.quantize_and_dequantize_v2(x, low, high, range_given=True), [x]),
    ]
    found = tf.Session().run([tf.gradients(y, inputs) for y, inputs in made])
    assert [[g.tolist() for g in grads] for grads in found] == [
        [[0, 1, 1, 0]],
        [[0, 1, 1, 0], 1, 1],
        [[pytest.approx(0.1), pytest.approx(1.1), pytest.approx(1.1), pytest.approx(0.1)], 1, 1],
        [[1, 1, 1, 1]],
    ]


def test_what_is_no_range(fresh_graph):
    x, unknown = tf.ones([2, 3]), tf.placeholder(tf.float32)
    quantize, fake = tf.quantization.quantize, tf.quantization.fake_quant_with_min_max_vars
    with tf.Session() as session:
        for made, text in [
            (quantize(x, unknown, 2.0, tf.quint8), "min_range must be a scalar"),
            (quantize(x, 3.0, 2.0, tf.quint8), "not greater than"),
            (quantize(x, 0.0, 2.0, tf.quint8, round_mode="HALF_TO_EVEN"), "only supported for"),
            (quantize(x, unknown, [1.0, 2.0], tf.qint8, axis=0), "must be a vector with one"),
            (fake(x, unknown, 2.0), "`min` has incorrect size"),
            (fake(x, 0.0, 2.0, num_bits=17), "between 2 and 16"),
            (tf.fake_quant_with_min_max_args(x, 2.0, 2.0), "smaller than max"),
        ]:
            with pytest.raises(tf.errors.InvalidArgumentError, match=text):
                session.run(made, {unknown: np.zeros(3)})
