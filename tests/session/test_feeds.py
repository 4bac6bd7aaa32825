"""What may be fed, by which keys, and how values are converted."""

import collections
import decimal
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import tfsession as tf
from tfsession.core.dtypes import ALL_DTYPES
from tfsession.runtime.feeds import convert_feed, converter

BIG = "Try explicitly setting the type of the feed tensor to a larger type"


@pytest.fixture
def session(fresh_graph):
    with tf.Session() as session:
        yield session


def fed(session, dtype, value, shape=None):
    """What reading a placeholder gives that is fed with `value`."""
    x = tf.placeholder(dtype, shape)
    return session.run(tf.identity(x), {x: value})


CONVERTED = [
    ("float32", 1.5, np.float32(1.5)),
    ("float32", 3, np.float32(3)),
    ("float32", True, np.float32(1)),
    ("float32", 2**24 + 1, np.float32(2**24)),
    ("float32", "1.5", np.float32(1.5)),
    ("float32", b"1.5", np.float32(1.5)),
    ("float32", decimal.Decimal("1.5"), np.float32(1.5)),
    ("float32", [None, 1], np.float32([np.nan, 1])),
    ("float32", range(3), np.float32([0, 1, 2])),
    ("float32", np.array([1, 2], ">f4"), np.float32([1, 2])),
    ("float32", np.arange(6.0)[::2], np.float32([0, 2, 4])),
    (
        "float32",
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.float32([[0, 1, 2], [3, 4, 5]]),
    ),
    ("float32", np.ma.array([1.0, 2.0], mask=[True, False]), np.float32([1, 2])),
    ("float32", np.float64(1.5), np.float32(1.5)),
    ("int32", 7, np.int32(7)),
    ("int32", 1.7, np.int32(1)),
    ("int32", True, np.int32(1)),
    ("int32", "7", np.int32(7)),
    ("int32", [2**31], np.int32([-(2**31)])),
    ("int32", np.int64(2**31), np.int32(-(2**31))),
    ("uint8", [256], np.uint8([0])),
    ("int64", 2**62, np.int64(2**62)),
    ("bool", 1, np.True_),
    ("bool", True, np.True_),
    ("bool", "x", np.True_),
    ("bool", "", np.False_),
    ("complex64", 2j, np.complex64(2j)),
    ("bfloat16", 257, 256),
    ("string", "é", "é".encode()),
    ("string", b"a\0b\0", b"a\0b\0"),
    ("string", np.str_("q"), b"q"),
    ("string", ["a", b"b"], np.array([b"a", b"b"], object)),
    ("string", np.array([b"a\0", b"bc"]), np.array([b"a", b"bc"], object)),
    ("string", np.array([["é"], ["z"]]), np.array([["é".encode()], [b"z"]], object)),
]


@pytest.mark.parametrize(("dtype", "value", "result"), CONVERTED)
def test_conversion(session, dtype, value, result):
    found = fed(session, dtype, value)
    np.testing.assert_array_equal(found, result)
    assert np.shape(found) == np.shape(result)
    if dtype != "string":
        assert found.dtype == tf.as_dtype(dtype).numpy


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_numbers_out_of_range(session):
    assert fed(session, "float16", 70000) == np.inf
    assert fed(session, "float32", 1e300) == np.inf
    assert fed(session, "int32", float("nan")) == -(2**31)


REFUSED = [
    ("int32", 2**31, TypeError, BIG),
    (
        "int32",
        -(2**31) - 1,
        TypeError,
        "with type <class 'int'> is not compatible",
    ),
    ("int32", type("Whole", (int,), {})(2**40), TypeError, BIG),
    ("uint8", -1, TypeError, "<class 'numpy.uint8'>"),
    ("uint8", 256, TypeError, BIG),
    ("int64", 2**63, TypeError, BIG),
    ("bool", 2, TypeError, BIG),
    ("string", 1, TypeError, "Tensor type <class 'object'>"),
    ("string", True, TypeError, BIG),
    ("float32", 10**400, OverflowError, "int too large to convert to float"),
    ("float32", "abc", ValueError, "could not convert string to float"),
    ("float32", {1}, TypeError, "not 'set'"),
    ("float32", (x for x in "a"), TypeError, "not 'generator'"),
    ("float32", object(), TypeError, "not 'object'"),
    ("float32", [[1], [1, 2]], ValueError, "setting an array element with a sequence"),
    ("int32", None, TypeError, "int() argument must be"),
    ("string", 1.5, tf.errors.InternalError, "Unsupported object type float"),
    ("string", [None], tf.errors.InternalError, "Unsupported object type NoneType"),
    ("string", "\ud800", tf.errors.InternalError, "Unable to convert element to UTF-8"),
    ("string", bytearray(b"ab"), tf.errors.InternalError, "Unsupported object type int"),
    ("variant", 1, TypeError, "of type variant cannot be fed"),
]


@pytest.mark.parametrize(("dtype", "value", "error", "text"), REFUSED)
def test_values_that_are_refused(session, dtype, value, error, text):
    with pytest.raises(error) as raised:
        fed(session, dtype, value)
    assert text in str(raised.value)
    assert session.run(tf.constant(1)) == 1


SHAPES = [
    ([2, 3], (3, 2), "(3, 2)", "(2, 3)"),
    ([], (1,), "(1,)", "()"),
    ([None], (), "()", "(?,)"),
    ([None], (1, 1), "(1, 1)", "(?,)"),
    ([None, 3], (2, 2), "(2, 2)", "(?, 3)"),
    ([1], (2,), "(2,)", "(1,)"),
]


@pytest.mark.parametrize(("static", "given", "given_text", "static_text"), SHAPES)
def test_shapes_that_do_not_fit(session, static, given, given_text, static_text):
    x = tf.placeholder("float32", static, name="x")
    y = x + 1.0
    for dtype in ("float32", "float64"):  # with and without conversion
        with pytest.raises(ValueError) as raised:
            session.run(y, {x: np.zeros(given, dtype)})
        assert str(raised.value) == (
            f"Cannot feed value of shape {given_text} for Tensor x:0, which has shape {static_text}"
        )


def test_a_tensor_is_no_value(session):
    x, k = tf.placeholder("float32", [], name="x"), tf.constant(1.0, name="k")
    with pytest.raises(TypeError) as raised:
        session.run(x + 1.0, {x: k})
    assert str(raised.value).startswith("The value of a feed cannot be a tf.Tensor object.")
    assert (
        f"the tensor object was {k} which was passed to the argument `feed_dict` with key {x}."
        in (str(raised.value))
    )
    with pytest.raises(NotImplementedError, match="Cannot convert a symbolic"):
        session.run(x + 1.0, {x: [k]})


class TestKeys:
    @pytest.fixture
    def product(self, session):
        a, b = (tf.placeholder("float32", [], name=name) for name in "ab")
        return session, a, b, tf.multiply(a, b, name="c")

    def test_forms(self, product):
        session, a, b, c = product
        forms = [
            {a: 2.0, b: 3.0},
            {"a:0": 2.0, b"b:0": 3.0},
            {(a, b): (2.0, 3.0)},
            {(a, b): [2.0, 3.0]},
            {(a, (b,)): [2.0, [3.0]]},
            {(a, (b,)): [2.0, 3.0]},
            collections.OrderedDict([(b, 3.0), (a, 2.0)]),
            {b: 3.0, "a:0": 2.0},
        ]
        for form in forms + forms:
            assert session.run(c, form) == 6.0

    def test_the_later_value_of_a_tensor_stands(self, product):
        session, a, b, c = product
        for _ in range(2):
            assert session.run(c, {a: 2.0, "a:0": 5.0, b: 3.0}) == 15.0
            assert session.run(c, {"a:0": 5.0, a: 2.0, b: 3.0}) == 6.0

    def test_falsy_feeds_are_none(self, product):
        session, *_, c = product
        k = tf.constant(1.0)
        for feeds in (None, {}, 0, [], ""):
            assert session.run(k, feeds) == 1.0
        with pytest.raises(tf.errors.InvalidArgumentError, match="You must feed a value"):
            session.run(c, {})

    @pytest.mark.parametrize(
        ("key", "text"),
        [
            ("a", "The name 'a' refers to an Operation, not a Tensor."),
            ("zz", "The name 'zz' looks like an (invalid) Operation name"),
            ("zz:0", "The operation, 'zz', does not exist in the graph."),
            ("a:1", "exists but only has 1 outputs."),
            ("a:x", "is not a valid one."),
            (3, "Can not convert a int into a Tensor."),
            (None, "Can not convert a NoneType into a Tensor."),
        ],
    )
    def test_that_are_none(self, product, key, text):
        session, a, *_ = product
        with pytest.raises(TypeError) as raised:
            session.run("nonsense", {a: 1.0, key: 1.0})  # a bad feed goes before a bad fetch
        assert str(raised.value).startswith("Cannot interpret feed_dict key as Tensor: ")
        assert text in str(raised.value)

    def test_operations_and_foreign_tensors(self, product):
        session, *_, c = product
        with pytest.raises(TypeError, match="Can not convert a Operation into a Tensor"):
            session.run(c, {c.op: 1.0})
        with tf.Graph().as_default():
            foreign = tf.placeholder("float32", [], name="a")
        with pytest.raises(TypeError, match="is not an element of this graph"):
            session.run(c, {foreign: 1.0})

    @pytest.mark.parametrize(
        ("values", "text"),
        [
            ((1.0,), "Key had 2 elements, but value had 1"),
            ((1.0, 2.0, 3.0), "value had 3"),
        ],
    )
    def test_tuples_of_another_length(self, product, values, text):
        session, a, b, c = product
        with pytest.raises(ValueError, match="Could not flatten dictionary") as raised:
            session.run(c, {(a, b): values})
        assert text in str(raised.value)

    def test_tuples_that_repeat_a_key(self, product):
        session, a, b, c = product
        for feeds in ({(a, b): (1.0, 2.0), a: 3.0}, {(a, a): (1.0, 2.0), b: 3.0}):
            with pytest.raises(ValueError, match="this key is not unique"):
                session.run(c, feeds)

    def test_no_mapping(self, product):
        session, *_, c = product
        for feeds, name in (([1], "list"), ("x", "str"), (5, "int")):
            with pytest.raises(TypeError, match=f"FlattenDictItems: .* instead of '{name}'"):
                session.run(c, feeds)

    def test_tensors_that_may_not_be_fed(self, product):
        session, a, b, c = product
        assert session.run(c, {a: 2.0, b: 3.0}) == 6.0
        session.graph.prevent_feeding(a)
        for _ in range(2):
            with pytest.raises(ValueError, match="Tensor a:0 may not be fed"):
                session.run(c, {a: 2.0, b: 3.0})
        with pytest.raises(ValueError, match="Cannot feed value of shape"):
            session.run(c, {a: [2.0], b: 3.0})


def test_fed_tensors_are_fetched_as_they_were_fed(session):
    x, s = tf.placeholder("float32", name="x"), tf.placeholder("string", name="s")
    y = x + 1.0
    array = np.zeros(2, np.float32)
    for _ in range(2):
        assert session.run(x, {x: array}) is array
        number, twice = session.run([x, y], {x: 1.5})
        assert type(number) is np.ndarray
        assert (number, twice) == (1.5, 2.5)
        text = session.run(s, {s: "é"})
        assert text.dtype == object
        assert text[()] == "é"
    # Nothing is left to run, so nothing is looked at either.
    assert session.run([], {s: 1.5}) == []


def test_results_never_share_memory_with_feeds(session):
    x = tf.placeholder("float32")
    array = np.ones((2, 3), np.float32)
    results = session.run([tf.identity(x), tf.reshape(x, [-1]), tf.transpose(x)], {x: array})
    for result in results:
        assert not np.shares_memory(result, array)
        assert result.flags.owndata


def test_any_tensor_may_be_fed(session):
    k = tf.constant([1.0, 2.0])
    middle = k * 2.0
    variable = tf.Variable(3.0)
    assert session.run(middle + 1.0, {k: [5.0, 6.0]}).tolist() == [11.0, 13.0]
    assert session.run(middle + 1.0, {middle: [5.0, 6.0]}).tolist() == [6.0, 7.0]
    assert session.run(variable + 1.0, {variable: 4.0}) == 5.0
    with pytest.raises(tf.errors.InvalidArgumentError, match="with expected float_ref"):
        session.run(variable.assign_add(1.0), {variable: 4.0})


@pytest.mark.parametrize(
    ("dtype", "shape", "text"),
    [
        ("float32", None, "placeholder tensor 'x' with dtype float\n"),
        ("float32", [2, 3], "placeholder tensor 'x' with dtype float and shape [2,3]\n"),
        ("int32", [None], "placeholder tensor 'x' with dtype int32 and shape [?]\n"),
    ],
)
def test_what_is_not_fed(session, dtype, shape, text):
    x = tf.placeholder(dtype, shape, name="x")
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        session.run(tf.identity(x))
    assert text in raised.value.message
    assert raised.value.op is x.op


def test_a_shape_set_later_counts(session):
    x = tf.placeholder("float32")
    y = x + 1.0
    assert session.run(y, {x: np.zeros(3, np.float32)}).shape == (3,)
    x.set_shape([2])
    with pytest.raises(ValueError, match="Cannot feed value of shape"):
        session.run(y, {x: np.zeros(3, np.float32)})


@pytest.mark.parametrize("nest", [lambda y: y, lambda y: [y], lambda y: {"y": y}, lambda y: [[y]]])
def test_feeds_of_every_mapping_count_after_a_run_without_any(session, nest):
    x = tf.placeholder_with_default(1.0, [])
    fetches = nest(x + 1.0)
    assert session.run(fetches) == nest(2.0)
    for mapping in (collections.OrderedDict, types.MappingProxyType, collections.UserDict, dict):
        assert session.run(fetches, mapping({x: 5.0})) == nest(6.0)
    with pytest.raises(TypeError, match="must be a dictionary"):
        session.run(fetches, [5.0])
    assert session.run(fetches) == nest(2.0)


NUMERIC = [d for d in ALL_DTYPES if (d.is_numeric or d.is_bool) and not d.is_quantized]
ARRAYS = arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0))
PYTHON_NUMBERS = st.integers(-(2**70), 2**70) | st.booleans() | st.floats() | st.complex_numbers()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("dtype", NUMERIC, ids=lambda dtype: dtype.name)
@given(
    value=PYTHON_NUMBERS | arrays.arrays(arrays.scalar_dtypes(), arrays.array_shapes(min_dims=0))
)
def test_shortcuts_convert_as_the_rule_does(dtype, value):
    with tf.Graph().as_default():
        tensors = [tf.placeholder(dtype, shape) for shape in (None, [], [None], [2, None])]
    for tensor in tensors:
        outcomes = []
        for convert in (lambda v, t=tensor: convert_feed(t, t, v, v), converter(tensor, tensor)):
            try:
                array = convert(value)
                outcomes.append((array.shape, array.dtype, array.tobytes()))
            except (TypeError, ValueError, OverflowError) as error:
                outcomes.append((type(error), str(error)))
        assert outcomes[0] == outcomes[1]
