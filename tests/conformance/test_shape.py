"""TensorShape, Dimension and shape inference's texts against real TensorFlow's."""

import importlib
import operator
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfsession.core import shape as shapes

pytestmark = [pytest.mark.oracle, pytest.mark.spec("shapes")]

SIZES = st.none() | st.integers(0, 3)
SHAPES = st.none() | st.lists(SIZES, max_size=3)


@pytest.fixture(scope="module")
def real(tf):
    return importlib.import_module("tensorflow.python.framework.tensor_shape")


@pytest.fixture(params=["v1", "v2"])
def mode(real, request):
    if request.param == "v2":
        real.enable_v2_tensorshape()
        shapes.enable_v2_tensorshape()
    yield request.param
    real.disable_v2_tensorshape()
    shapes.disable_v2_tensorshape()


def outcome(call, library):
    """The text of what `call` gives from a library, or its error."""
    try:
        return re.sub(r"\s+", " ", repr(call(library)))
    except Exception as error:
        return type(error), str(error)


def assert_same(real, call):
    assert outcome(call, shapes) == outcome(call, real)


CONSTRUCTIONS = [
    *(None, 3, -1, 1.5, "ab", b"ab", (), [], [None], [1, None], (1, 2), [-1, 2], [1.0], [[1]]),
    *(np.int64(3), np.array(3), np.array([1, 2]), np.array([1.5]), range(3), {2}, {1: 2}, {1.5}),
    *(["a"], [2**40], [2**63]),
]


@pytest.mark.parametrize("value", CONSTRUCTIONS, ids=repr)
def test_construction(real, mode, value):
    for text in (repr, str):
        assert_same(real, lambda s: text(s.TensorShape(value)))  # noqa: B023
    assert_same(real, lambda s: s.TensorShape([s.Dimension(3), s.Dimension(None)]))
    assert_same(real, lambda s: s.as_dimension(value))


METHODS_OF_TWO = (
    *("merge_with", "concatenate", "is_compatible_with", "assert_is_compatible_with"),
    *("assert_same_rank", "most_specific_compatible_shape", "__eq__", "__ne__", "__add__"),
)


@pytest.mark.usefixtures("mode")
@settings(max_examples=60, deadline=None)
@given(a=SHAPES, b=SHAPES)
def test_two_shapes(real, a, b):
    for name in METHODS_OF_TWO:
        call = operator.methodcaller(name, b)
        assert_same(real, lambda s: call(s.TensorShape(a)))  # noqa: B023


VIEWS = (
    *(str, repr, len, list, bool),
    *map(operator.attrgetter, ["rank", "ndims", "dims"]),
    *map(operator.methodcaller, ["as_list", "as_proto", "num_elements"]),
    *map(operator.methodcaller, ["is_fully_defined", "assert_is_fully_defined"]),
)


@pytest.mark.usefixtures("mode")
@settings(max_examples=60, deadline=None)
@given(a=SHAPES, key=st.slices(4) | st.integers(-4, 4), rank=st.integers(-1, 4))
def test_one_shape(real, a, key, rank):
    for name in ("with_rank", "with_rank_at_least", "with_rank_at_most", "assert_has_rank"):
        call = operator.methodcaller(name, rank)
        assert_same(real, lambda s: call(s.TensorShape(a)))  # noqa: B023
    if isinstance(key, slice) or a is None or -len(a) <= key < len(a):
        assert_same(real, lambda s: s.TensorShape(a)[key])
    for function in VIEWS:
        assert_same(real, lambda s: function(s.TensorShape(a)))  # noqa: B023


OPERATORS = [operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod]
OPERATORS += [operator.truediv, operator.eq, operator.ne, operator.lt, operator.le, operator.gt]
OPERANDS = [None, -1, 0, 2, 3, 7, 1.5]


@pytest.mark.parametrize("function", OPERATORS)
def test_dimension_arithmetic(real, function):
    for a in (None, 0, 3, 7):
        for b in OPERANDS:
            assert_same(real, lambda s: function(s.Dimension(a), b))  # noqa: B023
            if b != 1.5 and not (b == -1 and function in (operator.add, operator.mul)):
                assert_same(real, lambda s: function(b, s.Dimension(a)))  # noqa: B023


DIMENSION_CALLS = [
    lambda d: d.merge_with(4),
    lambda d: d.merge_with(None),
    lambda d: d.is_compatible_with(None),
    lambda d: d.assert_is_compatible_with(4),
    lambda d: hash(d),
    lambda d: (int(d), float(d), d.__index__(), str(d), bool(d)),
]


@pytest.mark.parametrize("call", DIMENSION_CALLS)
def test_dimension_methods(real, call):
    for size in (None, 0, 3):
        assert_same(real, lambda s: call(s.Dimension(size)))  # noqa: B023


def test_functions(real, mode):
    for index in (0, 1, -1):
        assert_same(real, lambda s: s.dimension_at_index(s.TensorShape([1, None]), index))  # noqa: B023
    assert_same(real, lambda s: s.dimension_at_index(s.TensorShape(None), 5))
    assert_same(real, lambda s: [s.dimension_value(v) for v in (s.Dimension(3), 3, None, "a")])
    assert_same(real, lambda s: [s.unknown_shape(), s.unknown_shape(2), s.unknown_shape(ndims=1)])
    assert_same(real, lambda s: s.unknown_shape(2, x=1))
    assert_same(real, lambda s: s.as_shape([1, None]))


# --- shape inference ------------------------------------------------------------------------------


def inferred(tf, build, a, b):
    """The shape that TensorFlow infers, or the text of its shape inference's error."""
    with tf.Graph().as_default():
        try:
            out = build(tf.placeholder(tf.float32, a), tf.placeholder(tf.float32, b))
        except ValueError as error:
            return re.split(r"\n\t| for '", str(error))[0]
        return out.shape.as_list() if out.shape.rank is not None else None


def ours(function, a, b):
    try:
        shape = function(shapes.to_shape(a), shapes.to_shape(b))
    except ValueError as error:
        return str(error)
    return None if shape is None else list(shape)


@settings(max_examples=60, deadline=None)
@given(a=SHAPES, b=SHAPES)
def test_shape_functions(tf, a, b):
    mul = inferred(tf, lambda x, y: tf.raw_ops.Mul(x=x, y=y), a, b)
    assert ours(shapes.broadcast, a, b) == mul
    add = inferred(tf, lambda x, y: tf.raw_ops.AddN(inputs=[x, y]), a, b)
    assert ours(shapes.merge, a, b) == add


def test_debug_strings(tf):
    bad = tf.raw_ops.MatMul
    with tf.Graph().as_default(), pytest.raises(ValueError) as info:
        bad(a=tf.placeholder(tf.float32, [2, None, 3]), b=tf.placeholder(tf.float32))
    texts = [shapes.debug_string(s) for s in ((2, None, 3), None)]
    assert str(info.value).endswith(f"with input shapes: {', '.join(texts)}.")
