"""Callables: steps that are prepared once and called again and again."""

import pytest

import tfsession as tf


@pytest.fixture
def product(fresh_graph):
    a, b = (tf.placeholder(tf.float32, [], name=name) for name in "ab")
    return a, b, tf.multiply(a, b, name="c")


def test_with_feeds(product):
    a, _, c = product
    session = tf.Session()
    call = session.make_callable([c, c.op], [a, "b:0"])
    for _ in range(3):
        assert call(2.0, 3) == [6.0, None]
        assert call(2.0, 3.0, 4.0) == [6.0, None]
        assert call(2.0, 3.0, options=None, run_metadata=tf.RunMetadata()) == [6.0, None]
        with pytest.raises(tf.errors.InvalidArgumentError, match="placeholder tensor 'b'"):
            call(2.0)
        with pytest.raises(ValueError, match="Cannot feed value of shape"):
            call([2.0], 3.0)
        with pytest.raises(TypeError, match="unexpected keyword argument 'zz'"):
            call(2.0, 3.0, zz=1)
        with pytest.raises(TypeError, match="multiple values for keyword argument 'feed_dict'"):
            call(2.0, 3.0, feed_dict={})


def test_with_feeds_of_every_kind(product):
    a, b, c = product
    session = tf.Session()
    for _ in range(2):
        assert session.make_callable(c, [a, a, b])(1.0, 2.0, 3.0) == 6.0
        assert session.make_callable({"x": (c,)}, (b, a))(2.0, 3.0) == {"x": (6.0,)}
        assert session.make_callable(c, [(a, b)])((2.0, 3.0)) == 6.0
        assert session.make_callable(tf.constant(4.0), [])() == 4.0
    twice = session.make_callable(c, [a, "a:0", b])
    for _ in range(3):
        assert twice(1.0, 2.0, 3.0) == 6.0


def test_feeds_are_looked_at_when_it_is_called(product):
    session = tf.Session()
    rows = ((None, [], TypeError), ("zz", [], ValueError), ("c", [3], TypeError))
    for fetches, feeds, error in rows:
        call = session.make_callable(fetches, feeds)
        for _ in range(2):
            with pytest.raises(error):
                call(*[1.0] * len(feeds))
    for feeds in (3, {}, "a:0"):
        with pytest.raises(TypeError, match="Argument `feed_list` must be a list or tuple"):
            session.make_callable("c:0", feeds)


def test_without_feeds(fresh_graph):
    k, session = tf.constant([1.0, 2.0]), tf.Session()
    call = session.make_callable({"x": (k, k.op)})
    for _ in range(2):
        assert call()["x"][0].tolist() == [1.0, 2.0]
    call()["x"][0][:] = 0
    assert call()["x"][0].tolist() == [1.0, 2.0]
    assert session.make_callable(k.op)() is None
    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
        call(1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'options'"):
        call(options=None)
    with pytest.raises(TypeError, match="Cannot be None"):
        session.make_callable(None)
    with pytest.raises(ValueError, match="cannot be interpreted as a Tensor"):
        session.make_callable("zz")


def test_accept_options(fresh_graph):
    session = tf.Session()
    call = session.make_callable(tf.constant(1.0), accept_options=True)
    metadata = tf.RunMetadata()
    metadata.partition_graphs.add()
    assert call(tf.RunOptions(), metadata) == call() == call(run_metadata=metadata) == 1.0
    assert len(metadata.partition_graphs) == 0


def test_of_nothing(product):
    for graph in (tf.get_default_graph(), tf.Graph()):
        session = tf.Session(graph=graph)
        with pytest.raises(tf.errors.InvalidArgumentError, match="at least one target"):
            session.make_callable([])()
    with pytest.raises(RuntimeError, match="The Session graph is empty"):
        session.make_callable([], [])()
