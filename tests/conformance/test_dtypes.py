"""Every element type against real TensorFlow's."""

import importlib

import ml_dtypes
import numpy as np
import pytest

from tfsession.core import dtypes

pytestmark = [pytest.mark.oracle, pytest.mark.spec("dtypes")]

ATTRIBUTES = (
    *("name", "as_datatype_enum", "as_numpy_dtype", "base_dtype", "real_dtype", "size", "_as_ref"),
    *("is_floating", "is_integer", "is_complex", "is_bool", "is_unsigned", "is_quantized"),
    *("is_numpy_compatible", "is_numeric", "_is_ref_dtype", "min", "max", "limits"),
)


@pytest.fixture(scope="module")
def real(tf):
    return importlib.import_module("tensorflow.python.framework.dtypes")


def outcome(call):
    """What a call gives, in a form that compares across the two libraries."""
    try:
        value = call()
    except Exception as error:
        return type(error), str(error)
    return np.dtype(value) if isinstance(value, type) else repr(value)


@pytest.mark.parametrize("enum", [int(d) + o for d in dtypes.ALL_DTYPES for o in (0, 100)])
def test_attributes(real, enum):
    ours, theirs = dtypes.DType(enum), real.DType(enum)
    for name in ATTRIBUTES:
        assert outcome(lambda: getattr(ours, name)) == outcome(lambda: getattr(theirs, name)), name  # noqa: B023
    assert (repr(ours), str(ours), hash(ours)) == (repr(theirs), str(theirs), hash(theirs))


def test_no_type_is_missing(real):
    types_pb2 = importlib.import_module("tensorflow.core.framework.types_pb2")
    names = {v: n for n, v in types_pb2.DataType.items() if v}
    every = [dtypes.DType(enum) for enum in names]
    assert {int(d): d.proto_name for d in every} == names
    assert {d.name for d in dtypes.QUANTIZED_DTYPES} == {d.name for d in real.QUANTIZED_DTYPES}
    assert {int(d) for d in every} == set(real._INTERN_TABLE)


VALUES = [
    *("float", "double", "half", "int", "foo", "int4", "float32_ref", "S4", "<f4", "datetime64"),
    *(0, 1, 33, 34, 101, 999, True, 1.0, None, (), [], b"float32"),
    *(int, float, bool, str, bytes, object, complex, list),
    *(np.float32, np.datetime64, np.longlong, np.ulonglong, np.intc, np.number, np.str_, np.void),
    *map(np.dtype, ["f4", ">f4", "S4", "U3", "V4", [("qint8", "i1")], [("a", "i4")]]),
    *(ml_dtypes.bfloat16, np.dtype(ml_dtypes.bfloat16), ml_dtypes.float4_e2m1fn),
    *(np.ones(2), np.float32(1), [("qint8", "i1")]),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_as_dtype(real, value):
    assert outcome(lambda: dtypes.as_dtype(value)) == outcome(lambda: real.as_dtype(value))


def test_compatibility(real):
    for a in (1, 101, 3, 7, 107, 20):
        for b in (1, 101, 3, 7, 107, 20):
            ours = dtypes.DType(a).is_compatible_with(dtypes.DType(b))
            assert ours == real.DType(a).is_compatible_with(real.DType(b)), (a, b)
    for value in ("float32", np.float32, 1, None, "foo", object()):
        assert (dtypes.float32 == value) == (real.float32 == value)


GROUPS = [
    ("AddN", "T", "{numbertype, variant}"),
    ("Sum", "T", "numbertype"),
    ("Sum", "Tidx", "{int32, int64}"),
    ("SegmentMax", "T", "realnumbertype"),
    ("ArgMax", "T", "{realnumbertype, quantizedtype, bool}"),
    ("Conv2D", "T", "{half, bfloat16, float, double, int32}"),
]


@pytest.mark.parametrize(("op", "attr", "text"), GROUPS)
def test_type_lists_are_those_of_op_definitions(tf, op, attr, text):
    registry = importlib.import_module("tensorflow.python.framework.op_def_registry")
    allowed = {a.name: list(a.allowed_values.list.type) for a in registry.get(op).attr}
    assert [int(d) for d in dtypes.parse_type_list(text)] == allowed[attr]
