"""TensorShape, Dimension, and shapes as plain tuples."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfsession.core import shape as shapes
from tfsession.core.shape import Dimension, TensorShape

SIZES = st.none() | st.integers(0, 3)
SHAPES = st.none() | st.lists(SIZES, max_size=4).map(tuple)


@pytest.fixture
def v2_shapes():
    shapes.enable_v2_tensorshape()
    yield
    shapes.disable_v2_tensorshape()


# --- plain tuples ---------------------------------------------------------------------------------

PROTO = SimpleNamespace(unknown_rank=False, dim=[SimpleNamespace(size=2), SimpleNamespace(size=-1)])
SPELLINGS = [
    (None, None),
    ((), ()),
    ([], ()),
    ((2, None), (2, None)),
    ([2, None], (2, None)),
    (3, (3,)),
    (np.int64(3), (3,)),
    (np.array([1, 2]), (1, 2)),
    (np.array(3), (3,)),
    ([np.int32(2), Dimension(3), Dimension(None)], (2, 3, None)),
    (Dimension(3), (3,)),
    (range(3), (0, 1, 2)),
    (TensorShape([1, None]), (1, None)),
    (TensorShape(None), None),
    (PROTO, (2, None)),
    (SimpleNamespace(unknown_rank=True, dim=[]), None),
]


@pytest.mark.parametrize(("value", "expected"), SPELLINGS, ids=repr)
def test_to_shape(value, expected):
    assert shapes.to_shape(value) == expected
    assert TensorShape(value)._dims == expected


REFUSED = [
    (-1, ValueError, "Dimension -1 must be >= 0"),
    ([2, -1], ValueError, "Dimension -1 must be >= 0"),
    ([1.0], TypeError, "Dimension value must be integer or None or have an __index__ method, got"),
    ("ab", TypeError, "Failed to convert ''ab'' to a shape: ''a''could not be converted to a dim"),
    (1.5, TypeError, "got value '1.5' with type '<class 'float'>'"),
]


@pytest.mark.parametrize(("value", "error", "text"), REFUSED, ids=repr)
def test_what_is_no_shape_is_refused(value, error, text):
    with pytest.raises(error) as info:
        shapes.to_shape(value)
    assert text in str(info.value)


BROADCASTS = [
    ((2, 1), (3,), (2, 3)),
    ((), (2,), (2,)),
    ((None,), (3,), (3,)),
    ((None,), (1,), (None,)),
    ((None,), (None,), (None,)),
    ((1,), (0,), (0,)),
    ((None,), (0,), (None,)),
    (None, (3,), None),
    ((2, None), (None, 3), (2, 3)),
]


@pytest.mark.parametrize(("a", "b", "expected"), BROADCASTS)
def test_broadcast(a, b, expected):
    assert shapes.broadcast(a, b) == expected
    assert shapes.broadcast(b, a) == expected


ERRORS = [
    (shapes.broadcast, (2,), (3,), "Dimensions must be equal, but are 2 and 3"),
    (shapes.broadcast, (2, 3), (4, 5), "Dimensions must be equal, but are 2 and 4"),
    (shapes.broadcast, (0,), (2,), "Dimensions must be equal, but are 0 and 2"),
    (shapes.merge, (2,), (3, 1), "Shapes must be equal rank, but are 1 and 2"),
    (
        shapes.merge,
        (None, 2),
        (1, 3),
        "Dimension 1 in both shapes must be equal, but are 2 and 3. Shapes are [?,2] and [1,3].",
    ),
]


@pytest.mark.parametrize(("function", "a", "b", "text"), ERRORS)
def test_shapes_that_do_not_fit(function, a, b, text):
    with pytest.raises(ValueError) as info:
        function(a, b)
    assert str(info.value) == text


def full(shape):
    return shape is not None and None not in shape


@given(SHAPES, SHAPES)
def test_broadcast_agrees_with_numpy(a, b):
    if not (full(a) and full(b)):
        return
    try:
        expected = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="Dimensions must be equal"):
            shapes.broadcast(a, b)
    else:
        assert shapes.broadcast(a, b) == expected


@given(SHAPES, SHAPES)
def test_merge_knows_what_either_knows(a, b):
    if not shapes.is_compatible(a, b):
        with pytest.raises(ValueError):
            shapes.merge(a, b)
        return
    merged = shapes.merge(a, b)
    assert merged == shapes.merge(b, a)
    assert shapes.merge(merged, a) == shapes.merge(merged, b) == merged
    if full(a) or full(b):
        assert full(merged)


@given(SHAPES)
def test_number_of_elements(shape):
    if full(shape):
        assert shapes.num_elements(shape) == np.zeros(shape, np.int8).size
    else:
        assert shapes.num_elements(shape) is None
    assert shapes.is_fully_defined(shape) == full(shape)


TEXTS = [
    (None, "?", "<unknown>", "TensorShape(None)"),
    ((), "[]", "()", "TensorShape([])"),
    ((2,), "[2]", "(2,)", "TensorShape([Dimension(2)])"),
    ((2, None), "[2,?]", "(2, ?)", "TensorShape([Dimension(2), Dimension(None)])"),
]


@pytest.mark.parametrize(("shape", "debug", "text", "representation"), TEXTS)
def test_texts(shape, debug, text, representation):
    assert shapes.debug_string(shape) == debug
    assert shapes.shape_text(shape) == text
    assert str(TensorShape(shape)) == text
    assert repr(TensorShape(shape)) == representation


def test_an_unknown_rank_has_another_text_in_attributes():
    assert shapes.debug_string(None, "<unknown>") == "<unknown>"


# --- TensorShape ----------------------------------------------------------------------------------


@given(SHAPES)
def test_a_tensor_shape_is_a_value(shape):
    one, other = TensorShape(shape), TensorShape.from_tuple(shape)
    assert one == other
    assert hash(one) == hash(other)
    assert one == shape
    assert pickle.loads(pickle.dumps(one)) == one
    assert copy.deepcopy(one) == one
    assert TensorShape(one.as_proto()) == one
    assert bool(one) == (shape is not None)


@given(st.lists(SIZES, max_size=4), st.integers(-5, 5), st.integers(-5, 5))
def test_slices_are_those_of_lists(sizes, start, stop):
    shape = TensorShape(sizes)
    assert shape[start:stop] == sizes[start:stop]
    assert shape[::-1] == sizes[::-1]
    assert [d.value for d in shape] == sizes == shape.as_list()
    more = [7]
    assert shape + more == shape.concatenate(7) == sizes + more
    assert more + shape == more + sizes


UNKNOWN_SLICES = [
    (slice(1, 3), (None, None)),
    (slice(None, 2), (None, None)),
    (slice(3, 1), ()),
    (slice(1, None), None),
    (slice(None, -1), None),
    (slice(-3, 2), None),
]


@pytest.mark.parametrize(("key", "expected"), UNKNOWN_SLICES, ids=repr)
def test_slices_of_an_unknown_shape(key, expected):
    assert TensorShape(None)[key] == TensorShape(expected)


METHOD_ERRORS = [
    (lambda: len(TensorShape(None)), "Cannot take the length of shape with unknown rank."),
    (lambda: list(TensorShape(None)), "Cannot iterate over a shape with unknown rank."),
    (lambda: TensorShape(None).as_list(), "as_list() is not defined on an unknown TensorShape."),
    (lambda: TensorShape(None)[::2], "Steps are not yet handled"),
    (lambda: TensorShape([None, 2]).merge_with([1, 3]), "Shapes (?, 2) and (1, 3) are not compat"),
    (lambda: TensorShape([1]).with_rank(2), "Shape (1,) must have rank 2"),
    (lambda: TensorShape([1]).with_rank_at_least(2), "Shape (1,) must have rank at least 2"),
    (lambda: TensorShape([1, 2]).with_rank_at_most(1), "Shape (1, 2) must have rank at most 1"),
    (lambda: TensorShape([1]).assert_has_rank(2), "Shape (1,) must have rank 2"),
    (lambda: TensorShape([1]).assert_same_rank([1, 2]), "(1,) and (1, 2) must have the same rank"),
    (lambda: TensorShape([1]).assert_is_compatible_with([2]), "Shapes (1,) and [2] are incompat"),
    (lambda: TensorShape([None]).assert_is_fully_defined(), "Shape (?,) is not fully defined"),
]


@pytest.mark.parametrize(("call", "text"), METHOD_ERRORS, ids=[text for _, text in METHOD_ERRORS])
def test_methods_raise_value_errors(call, text):
    with pytest.raises(ValueError) as info:
        call()
    assert text in str(info.value)


def test_what_is_no_shape_differs_from_every_shape():
    assert TensorShape([1]) != "a"
    assert TensorShape([1]) != object()
    assert (TensorShape([1]) == [1.0]) is False


def test_entries_are_numbers_in_v2_mode(v2_shapes):
    shape = TensorShape([2, None])
    assert list(shape) == [2, None]
    assert (shape[0], shape[1], TensorShape(None)[0]) == (2, None, None)
    assert (str(shape), repr(shape)) == ("(2, None)", "TensorShape([2, None])")
    assert shape.dims[0].value == 2


def test_unknown_shape():
    assert shapes.unknown_shape() == TensorShape(None)
    assert shapes.unknown_shape(2) == shapes.unknown_shape(ndims=2) == TensorShape([None, None])
    with pytest.raises(TypeError, match="Unknown argument"):
        shapes.unknown_shape(x=1)


def test_entries_by_index():
    assert shapes.dimension_at_index(TensorShape([1, 2]), 1).value == 2
    assert shapes.dimension_at_index(TensorShape(None), 1).value is None
    assert shapes.dimension_value(Dimension(3)) == 3
    assert shapes.dimension_value(3) == 3


# --- Dimension ------------------------------------------------------------------------------------


@given(SIZES, SIZES)
def test_dimension_arithmetic_keeps_the_unknown(a, b):
    known = a is not None and b is not None
    assert (Dimension(a) + b).value == (a + b if known else None)
    assert (a * Dimension(b)).value == (a * b if known else None)
    if b != 0:
        assert (Dimension(a) // b).value == (a // b if known else None)
        assert (a % Dimension(b)).value == (a % b if known else None)
    assert (Dimension(a) == b) is (a == b if known else None)
    assert (Dimension(a) != b) is (a != b if known else None)
    assert (Dimension(a) < b) is (a < b if known else None)
    assert (Dimension(a) >= b) is (a >= b if known else None)
    assert Dimension(a).is_compatible_with(b) is (not known or a == b)


DIMENSION_ERRORS = [
    (lambda d: d - 5, ValueError, "Dimension -2 must be >= 0"),
    (lambda d: d + 1.5, TypeError, "unsupported operand type"),
    (lambda d: d / 2, TypeError, "please use // instead"),
    (lambda d: 2 / d, TypeError, "please use // instead"),
    (lambda d: d // 0, ZeroDivisionError, "by zero"),
    (lambda d: hash(d), TypeError, "unhashable"),
    (lambda d: d.merge_with(4), ValueError, "Dimensions 3 and 4 are not compatible"),
    (lambda d: int(Dimension(None)), TypeError, "non-int"),
    (lambda d: d < "a", TypeError, "Dimension value must be integer or None"),
]


@pytest.mark.parametrize(("call", "error", "text"), DIMENSION_ERRORS)
def test_dimension_errors(call, error, text):
    with pytest.raises(error, match=text):
        call(Dimension(3))


def test_a_dimension_is_an_index():
    assert [1, 2, 3, 4][Dimension(1)] == 2
    assert int(Dimension(3)) == 3
    assert bool(Dimension(None)) is False
    assert pickle.loads(pickle.dumps(Dimension(3))).value == 3
    assert Dimension(3) + TensorShape([1]) == [3, 1]
