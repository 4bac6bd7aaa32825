"""Composites at the run boundary: how they are fetched and fed, and what a cached step costs."""

import collections
import gc
import tracemalloc
import types

import numpy as np
import pytest

import tfsession as tf

Point = collections.namedtuple("Point", "x y")
VALUE = ([[0, 0], [1, 1]], [1.0, 2.0], [2, 2])


class Attrs:
    """What a class decorated by attrs looks like."""

    __attrs_attrs__ = (types.SimpleNamespace(name="x"), types.SimpleNamespace(name="y"))

    def __init__(self, x, y):
        self.x, self.y = x, y


class Proxy:
    """What stands for another object, as the proxies of `wrapt` do."""

    def __init__(self, wrapped):
        self.wrapped = wrapped

    @property
    def __class__(self):
        return type(self.wrapped)

    def __iter__(self):
        return iter(self.wrapped)

    def __getitem__(self, key):
        return self.wrapped[key]

    def keys(self):
        return self.wrapped.keys()


@pytest.fixture
def session(fresh_graph):
    with tf.Session() as session:
        yield session


@pytest.fixture
def sparse(session):
    return tf.sparse_placeholder(tf.float32, name="sparse")


def parts(value):
    return [np.asarray(part).tolist() for part in value]


def test_results(session):
    sparse = tf.SparseTensor([[0, 1], [2, 0]], [1.5, 2.5], [3, 4])
    ragged = tf.ragged.constant([[1, 2], [], [3]])
    for _ in range(2):
        found = session.run({"x": [sparse, (ragged, Point(sparse, ragged.values))]})["x"]
        assert isinstance(found[0], tf.SparseTensorValue)
        assert parts(found[0]) == [[[0, 1], [2, 0]], [1.5, 2.5], [3, 4]]
        assert [part.dtype for part in found[0]] == [np.int64, np.float32, np.int64]
        assert found[1][1].x.values is found[0].values
        assert isinstance(found[1][0], tf.ragged.RaggedTensorValue)
        assert found[1][0].to_list() == [[1, 2], [], [3]]
        assert found[1][1].y is found[1][0].values
        found[0].values[:] = 0
    assert parts(sparse.eval()) == [[[0, 1], [2, 0]], [1.5, 2.5], [3, 4]]
    with pytest.raises(ValueError, match="the tensor's graph is different"):
        sparse.eval(session=tf.Session(graph=tf.Graph()))


FORMS = [tuple(VALUE), list(VALUE), tf.SparseTensorValue(*VALUE), (*VALUE, "left out")]


@pytest.mark.parametrize("value", FORMS, ids=lambda value: type(value).__name__)
def test_sparse_feeds(session, sparse, value):
    doubled = sparse.with_values(sparse.values * 2.0)
    call = session.make_callable([doubled, sparse.values], [sparse])
    for _ in range(3):
        assert parts(session.run(doubled, {sparse: value})) == [VALUE[0], [2.0, 4.0], VALUE[2]]
        assert parts(call(value)[0]) == [VALUE[0], [2.0, 4.0], VALUE[2]]
        assert parts(session.run(sparse, {sparse: value})) == list(VALUE)


def test_feeds_that_end_early(session, sparse):
    double = sparse.values * 2.0
    for _ in range(2):
        assert session.run(double, {sparse: VALUE[:2]}).tolist() == [2.0, 4.0]
        assert session.run(double, {sparse: VALUE}).tolist() == [2.0, 4.0]
        assert session.run(double, {sparse: iter(VALUE)}).tolist() == [2.0, 4.0]
        with pytest.raises(tf.errors.InvalidArgumentError, match="placeholder tensor 'sparse/val"):
            session.run(double, {sparse: VALUE[:1]})
        with pytest.raises(tf.errors.InvalidArgumentError, match="placeholder tensor 'sparse/sha"):
            session.run(sparse.dense_shape + 0, {sparse: VALUE[:2]})


def test_ragged_feeds(session):
    ragged = tf.ragged.placeholder(tf.float32, 2, [])
    value = tf.ragged.constant_value([[[1.0, 2.0]], []], dtype=np.float64)
    doubled = ragged.with_flat_values(ragged.flat_values * 2.0)
    for _ in range(2):
        assert session.run(doubled, {ragged: value}).to_list() == [[[2.0, 4.0]], []]
        assert session.run(ragged, {ragged: value}).dtype == np.float32
        for wrong in ([[1.0]], 3, None):
            with pytest.raises(AttributeError, match="no attribute 'nested_row_splits'"):
                session.run(doubled, {ragged: wrong})
        with pytest.raises(TypeError, match="The value of a feed cannot be a"):
            session.run(doubled, {ragged: ragged})


def test_feeds_of_indexed_slices(session):
    values, indices = tf.placeholder(tf.float32, [None]), tf.placeholder(tf.int64, [None])
    slices = tf.IndexedSlices(values, indices, tf.constant([9]))
    total = tf.reduce_sum(slices.values) + tf.cast(slices.dense_shape[0], tf.float32)
    for _ in range(2):
        assert session.run(total, {slices: ([1.0, 2.0], [3, 4])}) == 12.0
        assert session.run(total, {slices: ([1.0, 2.0], [3, 4], [5])}) == 8.0
        assert session.run(total, {slices: tf.IndexedSlicesValue([1.0], [3], [5])}) == 6.0


BAD = [
    (3, TypeError, "'int' object is not iterable"),
    (([0], [1.0], [2]), ValueError, "Cannot feed value of shape (1,) for Tensor sparse/indices:0"),
    (([[0]], [[1.0]], [2]), ValueError, "Cannot feed value of shape (1, 1) for Tensor sparse/val"),
    (([[0]], ["x"], [2]), ValueError, "could not convert string to float"),
]


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize(("value", "error", "text"), BAD)
def test_values_that_are_refused(session, sparse, value, error, text, warm):
    double = sparse.values * 2.0
    if warm:
        session.run(double, {sparse: VALUE})
    with pytest.raises(error) as raised:
        session.run(double, {sparse: value})
    assert text in str(raised.value)
    assert session.run(double, {sparse: VALUE}).tolist() == [2.0, 4.0]


def test_a_tensor_as_a_part_is_named_with_the_whole(session, sparse):
    double = sparse.values * 2.0
    value = (VALUE[0], sparse.values, VALUE[2])
    for _ in range(2):
        with pytest.raises(TypeError) as raised:
            session.run(double, {sparse: value})
        assert f"the tensor object was {value} which was" in str(raised.value)
        assert str(raised.value).endswith(f"with key {sparse}.")
        session.run(double, {sparse: VALUE})


def test_a_told_shape_is_not_fed(session):
    sparse = tf.SparseTensor([[0, 0]], [1.0], [2, 2])
    double = sparse.values * 2.0
    for _ in range(2):
        assert session.run(double, {sparse: ([[1, 1]], [5.0])}).tolist() == [10.0]
        with pytest.raises(ValueError, match="Tensor SparseTensor/dense_shape:0 may not be fed"):
            session.run(double, {sparse: ([[1, 1]], [5.0], [2, 2])})


def test_a_component_fed_twice_takes_the_later_value(session, sparse):
    double = sparse.values * 2.0
    for _ in range(3):
        assert session.run(double, {sparse: VALUE, sparse.values: [7.0]}).tolist() == [14.0]
        assert session.run(double, {sparse.values: [7.0], sparse: VALUE}).tolist() == [2.0, 4.0]
        assert session.run(double, {"sparse/values:0": [7.0], sparse: VALUE})[0] == 2.0


def test_callables_of_several_feeds(session, sparse):
    ragged, x = tf.ragged.placeholder(tf.float32, 1, []), tf.placeholder(tf.float32, [])
    total = tf.reduce_sum(sparse.values) * x + tf.reduce_sum(ragged.values)
    value = tf.ragged.constant_value([[1.0], [2.0]])
    call = session.make_callable({"total": total}, [sparse, x, ragged])
    for _ in range(3):
        assert call(VALUE, 10.0, value) == {"total": 33.0}
        assert session.run(total, {(x, ragged): (1.0, value), sparse: VALUE}) == 6.0
        with pytest.raises(tf.errors.InvalidArgumentError, match="You must feed a value"):
            call(VALUE, 10.0)


def test_attrs_classes(session):
    a, b = (tf.placeholder(tf.float32, []) for _ in "ab")
    sparse = tf.SparseTensor([[0]], [1.0], [2])
    for _ in range(2):
        found = session.run([Attrs(sparse, Attrs(a * b, {}))], {Attrs(a, b): Attrs(2.0, 3.0)})[0]
        assert type(found) is Attrs
        assert parts(found.x) == [[[0]], [1.0], [2]]
        assert (found.y.x, found.y.y) == (6.0, {})
        assert session.run(a * b, {(a, b): Attrs(2.0, 3.0)}) == 6.0
        assert session.run(a * b, {(a, b): {0: 2.0, 1: 3.0}.values()}) == 6.0
    # Another object of the class is another fetch.
    assert session.run(Attrs(sparse.values, a), {a: 1.0}).x.tolist() == [1.0]
    with pytest.raises(TypeError, match="Cannot be None"):
        session.run(Attrs(sparse, None))


def test_proxies(session):
    k = tf.constant(3.0)
    rows = [([k, k.op], list), ((k,), tuple), (Point(k, [k]), Point), ({"x": k}, dict)]
    for structure, kind in rows:
        for _ in range(2):
            found = session.run(Proxy(structure))
            assert type(found) is kind
            assert found == session.run(structure)
    assert session.run(k * 2.0, {(k,): Proxy([5.0])}) == 10.0


def test_steps_of_composites_are_kept_by_what_they_are_of(session, sparse):
    """Programs make the same composites anew each time: that must not fill the session."""
    values, indices = tf.constant([1.0]), tf.constant([0])

    def run_all():
        session.run([tf.IndexedSlices(values, indices), Attrs(values, indices)])
        session.run(tf.IndexedSlices(values, indices))
        session.run(sparse.values, {sparse: VALUE})

    for _ in range(3):
        run_all()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(1000):
            run_all()
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 64 * 1024
