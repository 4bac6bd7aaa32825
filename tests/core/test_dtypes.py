"""DType, as_dtype and the type lists of op definitions."""

import copy
import pickle

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsession.core import dtypes
from tfsession.core.dtypes import ALL_DTYPES, DType, as_dtype, parse_type_list

EVERY_DTYPE = [*ALL_DTYPES, *(d._as_ref for d in ALL_DTYPES)]

SPELLINGS = [
    ("float32", dtypes.float32),
    ("float", dtypes.float32),
    ("double", dtypes.float64),
    ("half_ref", dtypes.float16_ref),
    (1, dtypes.float32),
    (101, dtypes.float32_ref),
    (np.float32, dtypes.float32),
    (np.dtype("float32"), dtypes.float32),
    (np.dtype(">i4"), dtypes.int32),
    (np.dtype("S4"), dtypes.string),
    (np.dtype("U3"), dtypes.string),
    (np.dtypes.StringDType(), dtypes.string),
    (np.longlong, dtypes.int64),
    (np.intc, dtypes.int32),
    (np.float32(1), dtypes.float32),
    (np.ones(2, np.int16), dtypes.int16),
    (ml_dtypes.bfloat16, dtypes.bfloat16),
    (np.dtype(ml_dtypes.int4), dtypes.int4),
    (np.dtype([("qint8", "i1")]), dtypes.qint8),
    (float, dtypes.float32),
    (bool, dtypes.bool),
    (object, dtypes.string),
]

REFUSED = [
    int,
    str,
    complex,
    None,
    0,
    999,
    "foo",
    "int",
    "<f4",
    b"float32",
    np.dtype("V4"),
    [],
    list,
]
REFUSED += [np.datetime64, np.dtype([("a", "i4")]), np.number]


@pytest.mark.parametrize(("value", "expected"), SPELLINGS, ids=repr)
def test_as_dtype_finds_the_singleton(value, expected):
    assert as_dtype(value) is expected
    assert expected == value


@pytest.mark.parametrize("value", REFUSED, ids=repr)
def test_as_dtype_refuses_what_is_no_type(value):
    with pytest.raises(TypeError, match=r"^Cannot convert the argument `type_value`: .* DType\.$"):
        as_dtype(value)
    assert dtypes.float32 != value


@pytest.mark.parametrize("dtype", EVERY_DTYPE, ids=repr)
def test_each_dtype_is_found_by_all_its_names(dtype):
    assert DType(dtype.as_datatype_enum) is dtype
    assert as_dtype(dtype) is dtype
    assert as_dtype(int(dtype)) is dtype
    assert as_dtype(dtype.name) is dtype
    assert as_dtype(dtype.op_def_name) is dtype
    assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert copy.deepcopy(dtype) is dtype
    assert repr(dtype) == f"tf.{dtype.name}"
    assert str(dtype) == f"<dtype: '{dtype.name}'>"


@pytest.mark.parametrize("dtype", ALL_DTYPES, ids=repr)
def test_a_reference_type_differs_only_in_being_one(dtype):
    ref = dtype._as_ref
    assert (ref.base_dtype, dtype.base_dtype, ref._as_ref) == (dtype, dtype, ref)
    assert (ref.is_ref, dtype.is_ref) == (True, False)
    assert int(ref) == int(dtype) + 100
    assert ref.numpy == dtype.numpy
    assert ref != dtype
    assert dtype.is_compatible_with(ref)
    assert not ref.is_compatible_with(dtype)


@pytest.mark.parametrize("dtype", [d for d in ALL_DTYPES if d.is_numpy_compatible], ids=repr)
def test_the_numpy_type_leads_back(dtype):
    assert as_dtype(dtype.as_numpy_dtype) is dtype
    assert as_dtype(dtype.numpy) is dtype
    assert np.dtype(dtype.as_numpy_dtype) == dtype.numpy
    assert dtype.size == (0 if dtype is dtypes.string else dtype.numpy.itemsize)


@pytest.mark.parametrize("dtype", [dtypes.resource, dtypes.variant], ids=repr)
def test_a_type_without_arrays_has_no_numpy_type(dtype):
    with pytest.raises(KeyError, match=str(int(dtype))):
        _ = dtype.as_numpy_dtype
    with pytest.raises(TypeError, match="Cannot find minimum value"):
        _ = dtype.min


@pytest.mark.parametrize("dtype", EVERY_DTYPE, ids=repr)
def test_limits_hold_or_are_refused(dtype):
    if dtype.is_integer or dtype.is_floating:
        assert dtype.min < dtype.max
    else:
        with pytest.raises(TypeError, match="Cannot find maximum value of"):
            _ = dtype.max


def test_a_dtype_cannot_be_changed():
    with pytest.raises(AttributeError, match="cannot be changed"):
        dtypes.float32.name = "double"
    with pytest.raises(AttributeError, match="no attribute 'foo'"):
        _ = dtypes.float32.foo


@given(st.lists(st.sampled_from(ALL_DTYPES), min_size=1))
def test_a_type_list_reads_back(types):
    text = "{" + ", ".join(d.op_def_name for d in types) + "}"
    assert parse_type_list(text) == tuple(types)


def test_a_type_list_may_name_groups():
    numbers = parse_type_list("numbertype")
    assert len(numbers) == 19
    assert set(parse_type_list("realnumbertype")) < set(numbers)
    assert parse_type_list("{quantizedtype, bool}")[-1] is dtypes.bool_
    with pytest.raises(ValueError, match="Unknown type 'floot'"):
        parse_type_list("{half, floot}")
