"""Changes of type: every pair of types, numbers out of range, complex parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import (
    COMPLEX,
    INTS,
    NUMBERS,
    Row,
    bools,
    case_name,
    check_row,
    floats,
    row_cases,
    value,
)


def raw_cast(module, x, dtype, truncate=False):
    if hasattr(module, "raw_ops"):
        return module.raw_ops.Cast(x=x, DstT=module.as_dtype(dtype), Truncate=truncate)
    return create_op("Cast", [x], {"DstT": dtype, "Truncate": truncate})


SMALL = value([0, 1, 2, 3, 100, 0.75, 1.5])
ROWS = [
    *(
        Row("Cast", raw_cast, [SMALL], kwargs={"dtype": target}, dtypes=(*NUMBERS, "bool"),
            tolerance=0.0, label=f"to {target}")
        for target in (*NUMBERS, "bool")
    ),
    Row("Cast", raw_cast, [value([300, -1, 70000, -40000])], kwargs={"dtype": "uint8"},
        dtypes=("int32", "int64"), reference=lambda x, dtype: x.astype(dtype), label="wraps"),
    Row("Cast", raw_cast, [value([3.9, -3.9, 1e5, -7.25] * 8)],
        kwargs={"dtype": "int8"}, dtypes=("float32", "float64"),
        reference=lambda x, dtype: np.clip(np.trunc(x), -128, 127), label="saturates"),
    *(
        Row("Cast", raw_cast, [floats(16, low=-300, high=300)],
            kwargs={"dtype": target, "truncate": True}, dtypes=("float32",), tolerance=0.0,
            label=f"cut to {target}")
        for target in ("float16", "bfloat16", "float8_e5m2", "float8_e4m3fn")
    ),
    Row("Cast", raw_cast, [floats(16)], kwargs={"dtype": "complex64", "truncate": True},
        dtypes=("complex128",), tolerance=0.0, label="cut complex"),
    Row("Cast", raw_cast, [floats(16)], kwargs={"dtype": "float32", "truncate": True},
        dtypes=("complex128", "float64"), tolerance=0.0, label="cut real part"),
    Row("Cast", raw_cast, [value([0, 1, -3, 7])], kwargs={"dtype": "int4"}, dtypes=("int32",),
        reference=lambda x, dtype: x, label="to int4"),
    Row("Cast", "cast", [floats(3, 4)], kwargs={"dtype": "float64"}, grad=True),
    Row("Cast", "cast", [floats(3, 4)], kwargs={"dtype": "float32"}, dtypes=("int32",),
        label="from integers"),
    Row("Cast", "to_float", [floats(3)], dtypes=("int32",), label="to_float"),
    Row("Cast", "to_int64", [floats(3)], label="to_int64"),
    Row("Cast", "to_complex128", [floats(3)], label="to_complex128"),
    Row("Cast", "to_bfloat16", [bools(3)], label="to_bfloat16"),
    *(
        Row("Cast", "saturate_cast", [value([0, 1e3, -1e3, 1e30, -1e30, np.inf, -np.inf] * 4)],
            kwargs={"dtype": target}, dtypes=("float32", "float64"), label=f"saturate to {target}")
        for target in ("int8", "uint8", "int16", "int32", "float16")
    ),
    Row("Cast", "saturate_cast", [value([0, 1e3, 1e30, -1e30, np.inf])], kwargs={"dtype": "int64"},
        dtypes=("float32", "float64"), label="saturate to int64",
        oracle="TensorFlow's upper bound is rounded up to a number that does not fit"),
    Row("Cast", "saturate_cast", [value([0, 300, -300, 2**31 - 1])], kwargs={"dtype": "uint8"},
        dtypes=("int32", "int64"), label="saturate integers"),
    Row("Complex", "complex", [floats(3, 4), floats(4)], dtypes=("float32", "float64"),
        reference=lambda x, y: x + 1j * y),
    Row("Complex", "complex", [floats(3), floats(3)], dtypes=("float32",), label="same shape"),
    Row("Real", "real", [floats(3, 4)], dtypes=COMPLEX, reference=np.real),
    Row("Imag", "imag", [floats(3, 4)], dtypes=COMPLEX, reference=np.imag),
    Row("Conj", "conj", [floats(3, 4)], dtypes=COMPLEX, reference=np.conj),
    Row("Angle", "angle", [floats(3, 4)], dtypes=COMPLEX, reference=np.angle),
    Row("Select", "angle", [value([1, -1, 0])], dtypes=("float32", "float64"), reference=np.angle,
        label="angle"),
    Row("ComplexAbs", "abs", [floats(3, 4)], dtypes=COMPLEX, reference=np.abs),
    *(
        Row("Complex", lambda tf, x, y, part=part: getattr(tf, part)(tf.complex(x, y)),
            [floats(3, low=0.5), floats(3, low=0.5)], dtypes=("float64",), grad=True,
            tolerance=10.0, label=f"gradient of {part}")
        for part in ("real", "imag", "angle", "abs")
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


def cast(array, dtype):
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.as_dtype(array.dtype) if array.dtype != object else tf.string)
        return session.run(tf.cast(x, dtype), {x: array})


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint8", "uint16"])
@pytest.mark.parametrize("source", ["float16", "float32", "float64"])
def test_narrow_integers_saturate(dtype, source):
    info = np.iinfo(dtype)
    found = cast(np.array([1e4, -1e4, 6e4, 1.9, -1.9], source), dtype)
    wanted = [np.clip(np.trunc(v), info.min, info.max) for v in (1e4, -1e4, 59999, 1.9, -1.9)]
    assert found.tolist() == pytest.approx(wanted, abs=40)
    assert info.min <= found.min() <= found.max() <= info.max
    assert (found[:2] >= 0).tolist() == [True, info.min == 0]


def test_complex_numbers_lose_their_imaginary_part():
    x = np.array([1j, 2 + 1j, 0.5], np.complex64)
    assert cast(x, "bool").tolist() == [False, True, True]
    assert cast(x, "float32").tolist() == [0, 2, 0.5]
    assert cast(x, "int32").tolist() == [0, 2, 0]


@pytest.mark.parametrize("source", ["qint8", "quint8", "qint32"])
@pytest.mark.parametrize("target", ["int32", "qint32"])
def test_quantized_numbers(source, target):
    source, target = tf.as_dtype(source), tf.as_dtype(target)
    numbers = np.array([1, 2, 100]).astype(source.numpy[source.name]).view(source.numpy)
    found = cast(numbers, target)
    assert found.dtype == "int32"
    assert found.tolist() == [1, 2, 100]


@pytest.mark.parametrize(
    ("array", "dtype", "message"),
    [
        (np.array([b"1"], object), "int32", "Cast string to int32 is not supported"),
        (np.array([1.0], np.float32), "string", "Cast float to string is not supported"),
    ],
)
def test_texts_are_not_cast(array, dtype, message):
    with pytest.raises(tf.errors.UnimplementedError, match=message):
        cast(array, dtype)


def test_nothing_is_made_where_nothing_changes(fresh_graph):
    x, c = tf.placeholder(tf.float32), tf.placeholder(tf.complex64)
    assert tf.cast(x, tf.float32) is x
    assert tf.real(x) is x
    assert tf.conj(x) is x
    assert tf.conj(c).op.type == "Conj"


def test_slices_keep_their_indices(fresh_graph):
    slices = tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([0]))
    wider = tf.cast(slices, tf.float64)
    assert wider.dtype == tf.float64
    assert wider.indices is slices.indices
    assert tf.cast(slices, tf.float32) is slices


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tf.cast(tf.placeholder(tf.float32), None), "to a TensorFlow DType"),
        (lambda: tf.complex(tf.placeholder(tf.float32), tf.placeholder(tf.float64)),
         "components have incorrect types: float32 float64"),
        (lambda: tf.complex(tf.placeholder(tf.int32), tf.placeholder(tf.int32)),
         "components have incorrect types: int32 int32"),
        (lambda: tf.real(tf.placeholder(tf.string)), "input must be a numeric tensor"),
        (lambda: tf.conj(tf.placeholder(tf.string)), "Expected numeric or variant tensor"),
        (lambda: tf.saturate_cast(tf.placeholder(tf.bool), tf.int8), "Cannot find minimum value"),
    ],
)  # fmt: skip
def test_refused_while_the_graph_is_built(build, message, fresh_graph):
    with pytest.raises(TypeError, match=message):
        build()


@pytest.mark.parametrize("dtype", ["int32", "bool", "string"])
def test_no_gradient_flows_through_whole_numbers(dtype, fresh_graph):
    x = tf.placeholder(tf.float32, [2])
    y = tf.cast(tf.cast(x, dtype), tf.float32)
    assert tf.gradients(y, x) == [None]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=20), st.sampled_from(INTS))
def test_saturate_cast_finds_the_nearest_number(numbers, dtype):
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float64)
        found = session.run(tf.saturate_cast(x, dtype), {x: numbers})
    info = np.iinfo(dtype)
    for number, whole in zip(numbers, found.tolist(), strict=True):
        wanted = info.min if number <= info.min else info.max if number >= info.max else int(number)
        # float64 has not every number of 64 bits.
        assert abs(whole - wanted) <= abs(wanted) >> 52
