"""Updates of parts of variables, and who makes variables."""

import numpy as np
import pytest

import tfsession as tf

KINDS = pytest.mark.parametrize("use_resource", [False, True])
START = np.array([[2.0, 4], [6, 8], [10, 12], [14, 16]])
UPDATES = {
    "add": np.add, "div": np.divide, "max": np.maximum, "min": np.minimum, "mul": np.multiply,
    "sub": np.subtract, "update": lambda old, new: new,
}  # fmt: skip


def _updated(use_resource, update):
    v = tf.Variable(START, use_resource=use_resource)
    result = update(v)
    with tf.Session() as session:
        session.run(v.initializer)
        given = session.run(result)
        found = session.run(v)
    assert given.tolist() == found.tolist()
    return found


@KINDS
@pytest.mark.parametrize("name", UPDATES)
def test_rows(fresh_graph, use_resource, name):
    rows = tf.IndexedSlices(tf.constant([[5.0, 2.0], [1.0, 20.0]], tf.float64), [3, 0])
    found = _updated(use_resource, lambda v: getattr(v, f"scatter_{name}")(rows))
    wanted = START.copy()
    wanted[3], wanted[0] = UPDATES[name](START[3], [5, 2]), UPDATES[name](START[0], [1, 20])
    assert found.tolist() == wanted.tolist()


@KINDS
@pytest.mark.parametrize("name", ["add", "sub", "update", "max", "min"])
def test_elements(fresh_graph, use_resource, name):
    found = _updated(
        use_resource, lambda v: getattr(v, f"scatter_nd_{name}")([[3, 0], [0, 1]], [5.0, 20.0])
    )
    wanted = START.copy()
    wanted[3, 0], wanted[0, 1] = UPDATES[name](14, 5), UPDATES[name](4, 20)
    assert found.tolist() == wanted.tolist()


@KINDS
@pytest.mark.parametrize("index_type", ["int32", "int64"])
def test_rows_of_members_of_a_batch(fresh_graph, use_resource, index_type):
    indices = tf.constant([[1, 0], [0, 1], [1, 0], [0, 1]], index_type)
    values = np.arange(8.0).reshape(4, 2)
    found = _updated(use_resource, lambda v: tf.batch_scatter_update(v, indices, values))
    assert found.tolist() == [[1, 0], [2, 3], [5, 4], [6, 7]]
    rows = tf.IndexedSlices(tf.constant(values), indices)
    again = _updated(use_resource, lambda v: v.batch_scatter_update(rows))
    assert again.tolist() == found.tolist()


@KINDS
def test_errors(fresh_graph, use_resource):
    v = tf.Variable(START, use_resource=use_resource)
    with pytest.raises(TypeError, match="IndexedSlices"):
        v.scatter_add([1.0])
    with pytest.raises(ValueError, match="unknown shape"):
        tf.batch_scatter_update(v, tf.placeholder(tf.int32), [1.0])


def test_creators_are_asked_the_innermost_first(fresh_graph):
    seen = []

    def named(label):
        def create(next_creator, **kwargs):
            seen.append((label, kwargs["name"], kwargs["use_resource"]))
            kwargs["name"] += label
            return next_creator(**kwargs)

        return create

    with tf.variable_creator_scope(named("_a")), tf.variable_creator_scope(named("_b")):
        v = tf.Variable(1.0, name="v", use_resource=True)
        with tf.variable_scope("s"):
            w = tf.get_variable("w", [2])
    assert v.op.name == "v_b_a"
    assert v.handle is not None
    assert w.op.name.startswith("s/w")
    assert [entry[0] for entry in seen] == ["_b", "_a"] * 2
    assert tf.Variable(1.0, name="u").op.name == "u"
    assert len(tf.global_variables()) == 3


def test_a_creator_may_give_another_variable(fresh_graph):
    shared = tf.Variable(3.0)
    with tf.variable_creator_scope(lambda next_creator, **kwargs: shared):
        assert tf.Variable(1.0) is shared
    with (
        pytest.raises(RuntimeError, match="mine"),
        tf.variable_creator_scope(lambda *_, **__: (_ for _ in ()).throw(RuntimeError("mine"))),
    ):
        tf.Variable(1.0)
    assert tf.Variable(1.0) is not shared


@KINDS
def test_variables_without_a_value_are_told(fresh_graph, use_resource):
    assert tf.assert_variables_initialized() is None
    v, w = (tf.Variable(1.0, use_resource=use_resource) for _ in range(2))
    check = tf.assert_variables_initialized()
    with tf.Session() as session:
        session.run(v.initializer)
        with pytest.raises(tf.errors.FailedPreconditionError, match="ninitialized"):
            session.run(check)
        session.run(w.initializer)
        session.run(check)
        session.run(tf.assert_variables_initialized([v]))


def test_a_resource_variable_reads_and_creates_itself(fresh_graph):
    v = tf.Variable(2.0, use_resource=True)
    with pytest.raises(NotImplementedError, match="run Variable:0 in a session"):
        v.numpy()
    with tf.Session() as session:
        session.run(v.create)
        assert session.run(v.read_value_no_copy()) == 2.0


CHANGED = {
    "update": [[2, 4], [6, 8], [5, 2], [14, 16]],
    "add": [[2, 4], [6, 8], [15, 14], [14, 16]],
    "sub": [[2, 4], [6, 8], [5, 10], [14, 16]],
    "min": [[2, 4], [6, 8], [5, 2], [14, 16]],
    "max": [[2, 4], [6, 8], [10, 12], [14, 16]],
}


@KINDS
@pytest.mark.parametrize("name", CHANGED)
def test_a_gpu_leaves_out_what_is_out_of_range(fresh_graph, use_resource, name):
    updates = tf.constant([[1.0, 1], [5, 2], [9, 9]], tf.float64)
    places = tf.constant([-1, 2, 4], tf.int64)
    with tf.device("/gpu:0"):
        v = tf.Variable(START, use_resource=use_resource)
        rows = getattr(tf, f"scatter_{name}")(v, places, updates)
    with tf.Session() as session:
        session.run(v.initializer)
        session.run(rows)
        assert session.run(v).tolist() == CHANGED[name]
        session.run(v.initializer)
        session.run(getattr(v, f"scatter_nd_{name}")(places[:, None], updates))
        assert session.run(v).tolist() == CHANGED[name]
        assert session.run(tf.gather(v, places)).tolist() == [[0, 0], CHANGED[name][2], [0, 0]]
