"""Python values as arrays, arrays as TensorProtos."""

import decimal
import enum
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tfsession.core import dtypes, protos
from tfsession.core.dimension import Dimension
from tfsession.core.dtypes import as_dtype
from tfsession.core.tensor_proto import (
    array_to_proto,
    constant_array,
    make_ndarray,
    make_tensor_proto,
    to_ndarray,
)


class Level(enum.IntEnum):
    ONE = 1


class Owner:
    """Something that shows its own array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return self.array

    def __repr__(self):  # one in all processes that run tests
        return "Owner()"


INFERRED = [
    (1, "int32", 1),
    (True, "bool", True),
    (1.5, "float32", 1.5),
    (2**31, "int64", 2**31),
    (-(2**31), "int32", -(2**31)),
    (2**63, "uint64", 2**63),
    (1 + 2j, "complex128", 1 + 2j),
    ("é", "string", b"\xc3\xa9"),
    (b"a\0", "string", b"a\0"),
    (Level.ONE, "int32", 1),
    ([], "float32", []),
    ([[], []], "float32", [[], []]),
    ([1, 2], "int32", [1, 2]),
    ((1, 2), "int32", [1, 2]),
    ([1, True], "int32", [1, 1]),
    ([True, False], "bool", [True, False]),
    ([1, 2.5], "float32", [1.0, 2.5]),
    ([2**31, 1], "int64", [2**31, 1]),
    ([[1, 2], (3, 4)], "int32", [[1, 2], [3, 4]]),
    (["a", b"b\0"], "string", [b"a", b"b\0"]),
    ([["a"], ["b"]], "string", [[b"a"], [b"b"]]),
    ([np.int64(1)], "int32", [1]),
    ([np.float64(1)], "float32", [1.0]),
    ([np.int8(1)], "int8", [1]),
    ([np.array(1.0), 2], "float32", [1.0, 2.0]),
    (np.int64(1), "int64", 1),
    (np.float64(1.5), "float64", 1.5),
    (np.str_("a"), "string", b"a"),
    (np.array([1, 2]), "int64", [1, 2]),
    (np.array([1, 2], ">i4"), "int32", [1, 2]),
    (np.array(["a", "b"]), "string", [b"a", b"b"]),
    (np.array([b"a", "b"], object), "string", [b"a", b"b"]),
    (np.array([1.5], ml_dtypes.bfloat16), "bfloat16", [1.5]),
    (bytearray(b"ab"), "uint8", [97, 98]),
    (Owner(np.array([1.5])), "float64", [1.5]),
]


@pytest.mark.parametrize(("value", "dtype", "expected"), INFERRED, ids=repr)
def test_the_inferred_type(value, dtype, expected):
    array = to_ndarray(value)
    assert type(array) is np.ndarray
    assert as_dtype(array.dtype) == dtype
    assert array.tolist() == expected
    assert array.flags.writeable


GIVEN = [
    (1, "float32", 1.0),
    ([1, 2.5], "half", [1.0, 2.5]),
    (True, "int32", 1),
    ([True], "int64", [1]),
    (300, "uint8", 44),
    ([2**31], "int32", [-(2**31)]),
    (-1, "uint64", 2**64 - 1),
    (1, "complex64", 1 + 0j),
    (1, "bfloat16", 1.0),
    (1.5, "float8_e5m2", 1.5),
    (300, "int4", -4),
    (Dimension(3), "int32", 3),
    ([Dimension(3), 4], "int64", [3, 4]),
    ([], "string", []),
    ("a", "string", b"a"),
    (np.array([1.5]), "int32", [1]),
    (np.array([300]), "uint8", [44]),
    (np.array([2]), "bool", [True]),
    (np.array(["1"]), "int32", [1]),
    (1, "float32_ref", 1.0),
    ([(1,), (2,)], "qint8", [(1,), (2,)]),
]


@pytest.mark.parametrize(("value", "dtype", "expected"), GIVEN, ids=repr)
def test_a_given_type(value, dtype, expected):
    array = to_ndarray(value, dtype)
    assert as_dtype(array.dtype) is as_dtype(dtype).base_dtype
    assert array.tolist() == expected


RAGGED = "setting an array element with a sequence"
REFUSED = [
    (None, None, ValueError, "None values not supported."),
    (None, "int32", ValueError, "None values not supported."),
    ([1, None], None, TypeError, "Failed to convert elements of [1, None] to Tensor."),
    ([1, "a"], None, TypeError, "Failed to convert elements of [1, 'a'] to Tensor."),
    ({1, 2}, None, TypeError, "Failed to convert elements of {1, 2} to Tensor."),
    (2**64, None, TypeError, "Failed to convert elements of 18446744073709551616 to Tensor."),
    (decimal.Decimal("1.5"), None, TypeError, "Failed to convert elements of 1.5 to Tensor."),
    ([[1, 2], [3]], None, ValueError, RAGGED),
    ([[1, 2], [3]], "float32", ValueError, RAGGED),
    ([1, [2]], None, ValueError, RAGGED),
    (["a", ["b"]], None, ValueError, RAGGED),
    ([["a"], ["b", "c"]], None, ValueError, RAGGED),
    (range(3), None, ValueError, "Expected values range(0, 3) to be a dense tensor with shape []"),
    (
        [np.array([1])],
        None,
        ValueError,
        "a dense tensor with shape [1], but got shape [1, 1]",
    ),
    (np.array([None]), None, TypeError, "Expected binary or unicode string, got None"),
    (np.array(1, "M8[s]"), None, TypeError, "Cannot convert the argument `type_value`: dtype("),
    (1.5, "int32", TypeError, "Expected int32, but got 1.5 of type 'float'."),
    ([1, "a"], "int32", TypeError, "Expected int32, but got a of type 'str'."),
    ([[1], [None]], "float32", TypeError, "Expected float32, but got None of type 'NoneType'."),
    (1j, "float32", TypeError, "Expected float32, but got 1j of type 'complex'."),
    (1, "bool", TypeError, "Expected bool, but got 1 of type 'int'."),
    ([np.bool_(True)], "bool", TypeError, "Expected bool, but got True of type 'bool'."),
    (1, "string", TypeError, "Expected string, but got 1 of type 'int'."),
    (np.array([1.5]), "string", TypeError, "Expected binary or unicode string, got 1.5"),
    (1, "qint8", TypeError, "Expected qint8, but got 1 of type 'int'."),
    (
        1,
        "resource",
        TypeError,
        "<dtype: 'resource'> is not compatible with 1 of dtype int64",
    ),
    (2**64, "int32", OverflowError, "Python int too large to convert to C long"),
    ([2**64, 0.5], None, TypeError, "Failed to convert elements of [18446744073709551616, 0.5] to"),
    ("\ud800", None, UnicodeEncodeError, "surrogates not allowed"),
    (1, "foo", TypeError, "Cannot convert the argument `type_value`: 'foo' to a TensorFlow DType."),
]


@pytest.mark.parametrize(("value", "dtype", "error", "text"), REFUSED, ids=repr)
def test_what_no_tensor_can_hold(value, dtype, error, text):
    for convert in (to_ndarray, make_tensor_proto):
        with pytest.raises(error) as info:
            convert(value, dtype)
        assert text in str(info.value)


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, width=32) | st.booleans()


@example([-(2**63) - 1, 0.0], None)
@given(st.lists(NUMBERS, max_size=4), st.sampled_from([None, *(d for d in dtypes.ALL_DTYPES)]))
def test_the_short_way_and_the_long_way_agree(values, dtype):
    def outcome(wrapped):
        try:
            with np.errstate(all="ignore"):
                array = to_ndarray(wrapped, dtype)
        except (TypeError, ValueError, OverflowError) as error:
            return type(error), str(error)
        return array.dtype, array.tobytes()

    class OtherList(list):
        """A list that the short way does not know."""

    assert outcome(values) == outcome(OtherList(values))


@pytest.mark.parametrize("owner", [lambda a: a, Owner, lambda a: a[:], lambda a: a.T], ids=range(4))
def test_the_array_is_a_snapshot(owner):
    source = np.zeros((2, 2), np.float32)
    for arguments in ({}, {"dtype": "float32"}, {"shape": [2, 2]}, {"shape": [4]}):
        array = to_ndarray(owner(source), **arguments)
        assert not np.shares_memory(array, source)
        assert array.flags.c_contiguous


SHAPED = [
    (1, [2, 2], [[1, 1], [1, 1]]),
    (1, [], 1),
    ([1, 2], [2, 1], [[1], [2]]),
    ([1, 2], [4], [1, 2, 2, 2]),
    ([[1, 2], [3, 4]], [4], [1, 2, 3, 4]),
    ([], [2], [0.0, 0.0]),
    (["a", "b"], [3], [b"a", b"b", b"b"]),
    ("a", [2], [b"a", b"a"]),
    (np.array([], object), [2], [b"", b""]),
    (NotImplemented, [0, 2], []),
    (1.5, [0], []),
    (1, np.array([2]), [1, 1]),
]


@pytest.mark.parametrize(("value", "shape", "expected"), SHAPED, ids=repr)
def test_a_given_shape(value, shape, expected):
    array = to_ndarray(value, shape=shape)
    assert array.shape == tuple(shape)
    assert array.tolist() == expected
    proto = make_tensor_proto(value, shape=shape)
    assert make_ndarray(proto).tolist() == expected
    assert make_ndarray(array_to_proto(array)).tolist() == expected


def test_one_value_takes_no_room():
    array = to_ndarray(7, shape=[1 << 20, 1 << 20])
    assert not any(array.strides)
    assert not array.flags.writeable
    proto = array_to_proto(array)
    assert proto == make_tensor_proto(7, shape=[1 << 20, 1 << 20])
    assert list(proto.int_val) == [7]


SHAPE_ERRORS = [
    ([1, 2], {"shape": [1]}, ValueError, "Too many elements provided. Takes at most 1, but got 2."),
    (1, {"shape": [-1]}, ValueError, "Too many elements provided. Takes at most -1, but got 1."),
    (1, {"shape": 3}, TypeError, "'int' object is not iterable"),
    (1, {"shape": [None]}, TypeError, "int() argument must be"),
    (1, {"shape": [2], "verify_shape": True}, TypeError, "shape: (2,), but got ()."),
    ([1, 2], {"shape": [3], "allow_broadcast": True}, TypeError, "shape: (3,), but got (2,)."),
    (1, {"shape": [2], "verify_shape": True, "allow_broadcast": True}, ValueError, "not both"),
]


@pytest.mark.parametrize(("value", "arguments", "error", "text"), SHAPE_ERRORS, ids=repr)
def test_shapes_that_do_not_fit(value, arguments, error, text):
    for convert in (to_ndarray, make_tensor_proto):
        with pytest.raises(error) as info:
            convert(value, **arguments)
        assert text in str(info.value)


def test_allow_broadcast_takes_one_value_or_all():
    for value, shape in ((1, [2]), ([1], [2, 2]), ([1, 2], [2, 1])):
        assert to_ndarray(value, shape=shape, allow_broadcast=True).shape == tuple(shape)


# --- protos ---------------------------------------------------------------------------------------

WRITTEN = [d for d in dtypes.ALL_DTYPES if d.is_numpy_compatible and "uz" not in d.name]


SHAPES = st.lists(st.integers(0, 3), max_size=3)


@st.composite
def arrays(draw):
    """Arrays of any type, made of random bits (texts: random bytes)."""
    dtype, shape = draw(st.sampled_from(WRITTEN)), draw(SHAPES)
    count = math.prod(shape)
    if dtype is dtypes.string:
        texts = draw(st.lists(st.binary(), min_size=count, max_size=count))
        return np.array(texts, object).reshape(shape)
    data = draw(st.binary(min_size=count * dtype.size, max_size=count * dtype.size))
    if dtype.is_bool or dtype.name in {"int2", "uint2", "int4", "uint4", "float4_e2m1fn"}:
        data = bytes(byte & 1 for byte in data)  # not every byte is such an element
    return np.frombuffer(data, dtype.numpy).reshape(shape)


def contents(array):
    return array.tolist() if array.dtype == object else array.tobytes()


@given(arrays())
def test_a_proto_reads_back(array):
    proto = make_tensor_proto(array)
    back = make_ndarray(protos.TensorProto.FromString(proto.SerializeToString()))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    assert back.flags.writeable
    assert contents(back) == contents(array)


READ = [
    ("int32", [3], {"int_val": [1, 2]}, [1, 2, 2]),
    ("int32", [2], {}, [0, 0]),
    ("int32", [], {}, 0),
    ("int32", [2], {"tensor_content": b"\1\0\0\0\2\0\0\0"}, [1, 2]),
    ("string", [2], {}, [b"", b""]),
    ("string", [], {}, b""),
    ("string", [3], {"string_val": [b"a", b"b"]}, [b"a", b"b", b"b"]),
    ("bool", [2], {"bool_val": [True]}, [True, True]),
    ("bool", [2], {"tensor_content": b"\1\0"}, [True, False]),
    ("complex64", [2], {"scomplex_val": [1, 2]}, [1 + 2j, 1 + 2j]),
    ("complex64", [2], {"scomplex_val": [1, 2, 3]}, [1 + 2j, 1 + 2j]),
    ("half", [2], {"half_val": [15360]}, [1.0, 1.0]),
    ("bfloat16", [], {"half_val": [16256]}, 1.0),
    ("qint8", [2], {"int_val": [3]}, [(3,), (3,)]),
    ("int4", [2], {"tensor_content": b"\1\2"}, [1, 2]),
    ("float8_e5m2", [2], {"float8_val": b"<"}, [1.0, 1.0]),
    ("float8_e4m3fnuz", [2], {"tensor_content": b"<<"}, [0.75, 0.75]),
]


def tensor_proto(dtype, shape, fields):
    proto = protos.TensorProto(dtype=int(as_dtype(dtype)), **fields)
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


@pytest.mark.parametrize("read", [make_ndarray, constant_array])
@pytest.mark.parametrize(("dtype", "shape", "fields", "expected"), READ)
def test_reading(dtype, shape, fields, expected, read):
    array = read(tensor_proto(dtype, shape, fields))
    assert as_dtype(array.dtype) == dtype
    assert array.shape == tuple(shape)
    assert array.tolist() == expected


REPEATED = [
    ("int32", [3], {"int_val": [1, 2]}),
    ("int32", [2, 2], {"int_val": [1]}),
    ("bool", [4], {"bool_val": [True, False]}),
    ("complex64", [3], {"scomplex_val": [1, 2, 3, 4]}),
    ("half", [3], {"half_val": [15360, 0]}),
    ("string", [3], {"string_val": [b"a", b"b"]}),
    ("string", [3], {"string_val": [b"a"]}),
    ("qint8", [3], {"int_val": [1]}),
    ("float8_e5m2", [3], {"float8_val": b"<<"}),
]


@pytest.mark.parametrize(("dtype", "shape", "fields"), REPEATED)
def test_a_constant_is_written_with_the_values_that_were_given(dtype, shape, fields):
    message = tensor_proto(dtype, shape, fields)
    array = constant_array(message)
    assert contents(array) == contents(make_ndarray(message))
    assert array_to_proto(array) == message


def test_a_large_constant_of_few_values_is_written_fast_and_whole():
    message = tensor_proto("bool", [1 << 24], {"bool_val": [True, False]})
    array = constant_array(message)
    assert type(array) is np.ndarray
    assert not array.flags.writeable
    assert array_to_proto(array).ByteSize() < 100


def test_what_is_made_of_a_constant_has_its_own_values():
    array = constant_array(tensor_proto("int32", [2, 2], {"int_val": [1, 2, 3]}))
    for other in (array.T, array[::-1], array[:1], array.view(np.uint32), array + 0):
        assert make_ndarray(array_to_proto(other)).tolist() == other.tolist()


UNREADABLE = [
    ("int32", [1], {"int_val": [1, 2]}, ValueError, "cannot reshape array of size 2"),
    ("int32", [0], {"int_val": [1]}, ValueError, "cannot reshape array of size 1"),
    ("int32", [2], {"tensor_content": b"\1\0\0\0"}, ValueError, "cannot reshape array of size 1"),
    ("int32", [2], {"tensor_content": b"\1\0\0"}, ValueError, "multiple of element size"),
    ("uint8", [1], {"int_val": [300]}, OverflowError, "out of bounds"),
    ("resource", [], {}, KeyError, "20"),
    ("float32_ref", [], {"float_val": [1]}, TypeError, "Unsupported tensor type: 101."),
    ("float8_e4m3fnuz", [], {"float8_val": b"<"}, TypeError, "Unsupported tensor type: 26."),
]


@pytest.mark.parametrize(("dtype", "shape", "fields", "error", "text"), UNREADABLE)
def test_what_cannot_be_read(dtype, shape, fields, error, text):
    with pytest.raises(error, match=text):
        make_ndarray(tensor_proto(dtype, shape, fields))


def test_a_proto_is_returned_as_it_is():
    proto = make_tensor_proto(1)
    assert make_tensor_proto(proto, dtypes.float32) is proto


def test_a_proto_holds_less_than_2_gib():
    huge = np.broadcast_to(np.int8(0), 1 << 31)
    with pytest.raises(ValueError, match="content is larger than 2GB"):
        make_tensor_proto(huge)


def test_a_type_without_a_field_is_refused():
    one = np.ones(1, ml_dtypes.float8_e4m3fnuz)
    with pytest.raises(TypeError, match="not supported in TensorProto: float8_e4m3fnuz"):
        make_tensor_proto(one)
