"""make_tensor_proto and make_ndarray against real TensorFlow's, field by field."""

import collections
import decimal
import enum
import fractions
import importlib
import re
import warnings

import ml_dtypes
import numpy as np
import pytest

from tfsession.core import dtypes, protos, tensor_proto
from tfsession.core.dimension import Dimension
from tfsession.core.shape import TensorShape

pytestmark = [pytest.mark.oracle, pytest.mark.spec("9.1")]


def named(value):
    """A value as it shows itself in any process: without addresses."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


class Level(enum.IntEnum):
    ONE = 1


class Owner:
    def __array__(self, dtype=None, copy=None):
        return np.array([1.5, 2.5])

    def __repr__(self):
        return "Owner()"


class Index:
    def __index__(self):
        return 3

    def __repr__(self):
        return "Index()"


Pair = collections.namedtuple("Pair", "a b")

VALUES = [
    *(None, 1, True, -1, 300, 2**31, -(2**31), 2**63 - 1, 2**63, 2**64, -(2**63) - 1),
    *(1.5, 1.0, 1e300, float("nan"), 1j, 1 + 0j, "a", "é", b"a\0", Level.ONE, Pair(1, 2)),
    *([], (), [[]], [[], []], [1, 2], (1, 2), [1.5], [1, 2.5], [True], [1, True], [True, 1.5]),
    *(["a"], ["a", b"b"], [b"a\0"], [["a"], ["b"]], [None], [1, None], ["a", None], [1, "a"]),
    *(
        [2**31, 1],
        [2**40, 1.5],
        [2**63],
        [1, 2**63],
        [2**64],
        [-1],
        [1e300],
        [1, 2.5, "a"],
        [-(2**63) - 1, 0.0],
    ),
    *([[1, 2], [3]], [1, [2]], [["a"], ["b", "c"]], [["a"], [1]], [[1], ["a"]], [[1, 2], [3.5, 4]]),
    *([(1, 2), [3, 4]], [1j, 1], range(3), [range(2)], {1, 2}, {1: 2}, collections.deque([1, 2])),
    *(np.float64(1.5), np.float32(1), np.int64(300), np.bool_(True), np.str_("a"), np.bytes_(b"a")),
    *([np.float64(1.5)], [np.float32(1), 2], [np.int64(1)], [np.int8(1)], [np.bool_(True)]),
    *([np.str_("a")], [np.array(1.5)], [np.array([1])], [np.array([1, 2]), [3, 4]]),
    *map(np.array, [1.0, [1, 2], [300], [True], ["a", "b"], [b"a", b"b\0"], ["1"], [1j], [None]]),
    *(np.array(["a", 1], object), np.array([1], object), np.array([], object), np.zeros((0, 3))),
    *(np.arange(4).reshape(2, 2).T, np.arange(3)[::-1], np.ma.masked_array([1, 2], [0, 1])),
    *(np.array([(1,)], [("a", "i4")]), np.array([1], "M8[s]"), np.longdouble(1)),
    *(decimal.Decimal("1.5"), fractions.Fraction(1, 2), [fractions.Fraction(1, 2)], Index()),
    *(Owner(), bytearray(b"ab"), memoryview(b"ab"), ..., [slice(1)], "\ud800"),
    *(ml_dtypes.bfloat16(1.5), [ml_dtypes.bfloat16(1.5)], np.array([1.5], ml_dtypes.bfloat16)),
]
TYPES = (
    *("int32", "float32", "bool", "string", "int64", "uint8", "uint64", "complex64", "bfloat16"),
    *("half", "float64", "qint8", "float8_e5m2", "resource", "int4", "int8", "uint16"),
)


def outcome(module, make, *arguments, **keywords):
    """The text of a proto, or the error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            proto = make(*arguments, **keywords)
    except Exception as error:
        # Our text ends before the address of a web page.
        return type(error), re.sub(r" See \S+ for supported TF dtypes\.$", "", str(error))
    return module.MessageToString(proto) if module else proto


@pytest.fixture(scope="module")
def same(tf):
    """Assert that both libraries write the same proto, or refuse it alike."""
    text_format = importlib.import_module("google.protobuf.text_format")

    def check(*arguments, **keywords):
        ours = outcome(text_format, tensor_proto.make_tensor_proto, *arguments, **keywords)
        theirs = outcome(text_format, tf.make_tensor_proto, *arguments, **keywords)
        assert ours == theirs

    return check


@pytest.mark.parametrize("value", VALUES, ids=named)
def test_inferred_types(same, value):
    same(value)


@pytest.mark.parametrize("value", VALUES, ids=named)
def test_given_types(same, value):
    for name in TYPES:
        if name == "resource" and not isinstance(value, (int, float, str, list)):
            continue  # refused by us for its being a resource, by TensorFlow also for its own type
        same(value, dtypes.as_dtype(name).as_datatype_enum)


SHAPED = [
    *((1, [2]), (1, []), (1, [0]), (1, [None]), (1, 3), (1, (2, 3)), (1, [2**40])),
    *(([1, 2], [2]), ([1, 2], [2, 1]), ([1, 2], [3]), ([1, 2], [1]), ([[1, 2], [3, 4]], [4])),
    *(([1], [2, 2]), (["a", "b"], [3]), ("a", [2]), ([], [2]), ([], [0, 2]), (True, [2])),
    *((np.array([1, 2]), [2, 1]), (np.array([1, 2]), [4]), (1.5, [1.5])),
    *(
        (object(), [0]),
        ([[1, 2], [3]], [0]),
        (None, [0]),
        (1, np.array([2])),
        ([1, 2], [np.int8(2)]),
    ),
]


@pytest.mark.parametrize(("value", "shape"), SHAPED, ids=named)
def test_shapes(same, value, shape):
    same(value, shape=shape)
    same(value, shape=shape, verify_shape=True)
    same(value, shape=shape, allow_broadcast=True)
    same(value, int(dtypes.half), shape)


def test_what_no_shape_allows(same):
    same(1, shape=[-1])
    same(np.array([1]), shape=[0])
    same([1, 2], shape=[np.int8(1)])
    same(1, shape=[2], verify_shape=True, allow_broadcast=True)


@pytest.mark.parametrize("dtype", [d for d in dtypes.ALL_DTYPES if d.is_numpy_compatible], ids=str)
def test_every_type_and_size(tf, same, dtype):
    for shape in ((), (1,), (2,), (0,), (2, 0), (2, 3)):
        array = np.zeros(shape, dtype.numpy)
        if dtype is dtypes.string:
            array[...] = b"x"
        elif array.size:
            array.reshape(-1).view(np.uint8)[0] = 1
        same(array)
        same(array, shape=[7])


def test_shapes_of_our_classes(tf):
    """TensorShape and Dimension as values: each library with its own."""
    for build in (
        lambda shape, dimension: shape([1, 2]),
        lambda shape, dimension: shape(None),
        lambda shape, dimension: [shape([1])],
        lambda shape, dimension: dimension(3),
        lambda shape, dimension: [dimension(3), 4],
        lambda shape, dimension: [dimension(None)],
    ):
        for dtype in (None, dtypes.int32, dtypes.int64, dtypes.float32, dtypes.string):
            enum = None if dtype is None else int(dtype)
            ours = outcome(None, _text, tensor_proto, build(TensorShape, Dimension), enum)
            theirs = outcome(None, _text, tf, build(tf.TensorShape, tf.Dimension), enum)
            assert ours == theirs


def _text(library, value, enum):
    return str(library.make_tensor_proto(value, enum))


READ = """
dtype: DT_INT32 tensor_shape { dim { size: 2 } } tensor_content: "\\001\\000\\000\\000"
dtype: DT_INT32 tensor_shape { dim { size: 2 } } tensor_content: "\\001\\000\\000"
dtype: DT_INT32 tensor_shape { dim { size: 1 } } tensor_content: "\\001\\000\\000\\000"
dtype: DT_INT32 tensor_shape { dim { size: 2 } }
dtype: DT_INT32 tensor_shape { dim { size: 3 } } int_val: 1 int_val: 2
dtype: DT_INT32 tensor_shape { dim { size: 1 } } int_val: 1 int_val: 2
dtype: DT_INT32 tensor_shape { dim { size: 0 } } int_val: 1
dtype: DT_INT32 tensor_shape { dim { size: -1 } } int_val: 1
dtype: DT_INT32 tensor_shape { unknown_rank: true } int_val: 1
dtype: DT_INT32
dtype: DT_STRING tensor_shape { dim { size: 3 } } string_val: "a" string_val: "b"
dtype: DT_STRING tensor_shape { dim { size: 1 } } string_val: "a" string_val: "b"
dtype: DT_STRING tensor_shape { dim { size: 1 } } tensor_content: "ab"
dtype: DT_BOOL tensor_shape { dim { size: 3 } } bool_val: true bool_val: false
dtype: DT_BOOL tensor_shape { dim { size: 2 } } tensor_content: "\\001\\000"
dtype: DT_COMPLEX64 tensor_shape { dim { size: 2 } } scomplex_val: 1 scomplex_val: 2
dtype: DT_COMPLEX64 tensor_shape { dim { size: 2 } } scomplex_val: 1
dtype: DT_COMPLEX128 tensor_shape { dim { size: 2 } } dcomplex_val: 1 dcomplex_val: 2
dtype: DT_HALF tensor_shape { dim { size: 2 } } half_val: 15360
dtype: DT_BFLOAT16 tensor_shape { dim { size: 2 } } half_val: 15360
dtype: DT_UINT8 tensor_shape { dim { size: 2 } } int_val: 300
dtype: DT_QINT8 tensor_shape { dim { size: 2 } } int_val: 3
dtype: DT_QINT8 tensor_shape { dim { size: 2 } } tensor_content: "ab"
dtype: DT_INT4 tensor_shape { dim { size: 2 } } int_val: 3
dtype: DT_INT4 tensor_shape { dim { size: 2 } } tensor_content: "\\001\\002"
dtype: DT_FLOAT8_E5M2 tensor_shape { dim { size: 2 } } float8_val: "<"
dtype: DT_FLOAT8_E4M3FNUZ tensor_shape { dim { size: 2 } } float8_val: "<"
dtype: DT_RESOURCE
dtype: DT_INVALID
dtype: DT_FLOAT_REF float_val: 1
dtype: DT_UINT32 tensor_shape { dim { size: 2 } } uint32_val: 3
dtype: DT_INT64 int_val: 3
""".strip().splitlines()


def read(make, text_format, proto_class, text):
    """The array, or the error's class: its text is NumPy's, from another call."""
    try:
        array = make(text_format.Parse(text, proto_class()))
    except Exception as error:
        return type(error)
    return array.dtype, array.shape, array.tolist(), array.flags.writeable


@pytest.mark.parametrize("text", READ)
def test_reading(tf, text):
    text_format = importlib.import_module("google.protobuf.text_format")
    real = importlib.import_module("tensorflow.core.framework.tensor_pb2").TensorProto
    theirs = read(tf.make_ndarray, text_format, real, text)
    assert read(tensor_proto.make_ndarray, text_format, protos.TensorProto, text) == theirs
    assert read(tensor_proto.make_ndarray, text_format, real, text) == theirs
