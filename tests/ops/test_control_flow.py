"""The primitives of control flow: their definitions' shapes, and how gradients meet them."""

import numpy as np
import pytest

import tfsession as tf

# They make sense in graphs only, which tests/session/test_control_flow.py runs.
COVERED = [
    *("Switch", "Merge", "Enter", "Exit", "NextIteration"),
    *("RefSwitch", "RefMerge", "RefEnter", "RefExit", "RefNextIteration"),
    *("LoopCond", "ControlTrigger"),
]


def of(type_, inputs, **attrs):
    op = tf.get_default_graph().create_op(type_, inputs, attrs=attrs, name=type_)
    return op.outputs


def shapes(tensors):
    return [str(tensor.shape) for tensor in tensors]


def test_shapes(fresh_graph):
    pred = tf.placeholder(tf.bool, [])
    known, half, unknown = (tf.placeholder(tf.float32, s) for s in ([2, 3], [None, 3], None))
    assert shapes(tf.cond(pred, lambda: (known, known), lambda: (known, half))) == [
        "(2, 3)",
        "(?, 3)",
    ]
    assert str(tf.cond(pred, lambda: known, lambda: unknown).shape) == "<unknown>"
    switched = of("Switch", [known, pred])
    assert shapes(switched) == ["(2, 3)", "(2, 3)"]
    with pytest.raises(ValueError, match="Shape must be rank 0 but is rank 1"):
        of("Switch", [known, tf.placeholder(tf.bool, [1])])
    assert shapes(of("LoopCond", [pred])) == ["()"]
    assert of("ControlTrigger", []) == []


X = np.array([-2.0, 3.0], np.float32)


@pytest.fixture
def inputs(fresh_graph):
    """A vector and two predicates."""
    return tf.placeholder(tf.float32, [2]), tf.placeholder(tf.bool, []), tf.placeholder(tf.bool, [])


@pytest.mark.parametrize("p", [False, True])
@pytest.mark.parametrize("q", [False, True])
def test_gradients_take_the_way_of_the_values(inputs, device, p, q):
    x, first, second = inputs
    with tf.device(device):
        w = tf.get_variable("w", initializer=[5.0, 7.0])
        u = tf.get_variable("u", initializer=[1.0, 2.0], use_resource=True)
        y = tf.cond(
            first,
            lambda: x * x * w + u,
            lambda: tf.cond(second, lambda: tf.exp(x) * u, lambda: tf.constant([4.0, 4.0])),
        )
        grads = tf.gradients(y, [x, w, u])
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        found = session.run(grads, {x: X, first: p, second: q})
    if p:
        expected = [2 * X * [5, 7], X * X, np.ones(2)]
    elif q:
        expected = [np.exp(X) * [1, 2], np.zeros(2), np.exp(X)]
    else:
        expected = [np.zeros(2)] * 3
    for have, want in zip(found, expected, strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)


def test_gradients_of_rows(inputs, device):
    """Slices from one branch meet slices, or a dense gradient, from the other."""
    _, first, second = inputs
    with tf.device(device):
        w = tf.get_variable("w", initializer=np.arange(8, dtype=np.float32).reshape(4, 2))
        rows = tf.cond(first, lambda: tf.gather(w, [1, 1]), lambda: tf.gather(w, [0, 3]))
        dense = tf.cond(second, lambda: w * 2.0, lambda: tf.gather(w, [3, 3, 3, 1]))
        grads = [tf.convert_to_tensor(tf.gradients(y, w)[0]) for y in (rows, dense)]
        train = tf.train.GradientDescentOptimizer(1.0).minimize(tf.reduce_sum(rows))
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        a, b = session.run(grads, {first: True, second: True})
        assert a[:, 0].tolist() == [0, 2, 0, 0]
        assert b[:, 0].tolist() == [2, 2, 2, 2]
        a, b = session.run(grads, {first: False, second: False})
        assert a[:, 0].tolist() == [1, 0, 0, 1]
        assert b[:, 0].tolist() == [0, 1, 0, 3]
        session.run(train, {first: False})
        assert session.run(w)[:, 0].tolist() == [-1, 2, 4, 5]


def test_second_order(inputs):
    x, first, _ = inputs
    y = tf.cond(first, lambda: x * x * x, lambda: x * 2.0)
    (grad,) = tf.gradients(y, x)
    (second,) = tf.gradients(grad, x)
    with tf.Session() as session:
        np.testing.assert_allclose(session.run(second, {x: X, first: True}), 6 * X)
        np.testing.assert_allclose(session.run(second, {x: X, first: False}), [0, 0])


def test_gradients_of_bare_primitives(inputs):
    """A Switch and a Merge that no conditional made."""
    x, first, _ = inputs
    no, yes = of("Switch", [x, first])
    (grad,) = tf.gradients([no * 2.0, yes * 3.0], x)
    with tf.Session() as session:
        assert session.run(grad, {x: X, first: True}).tolist() == [3, 3]
        assert session.run(grad, {x: X, first: False}).tolist() == [2, 2]


def test_gradients_within_a_body(fresh_graph):
    """What begins and ends within one iteration is no gradient through the loop."""
    x = tf.placeholder(tf.float32, [])

    def step(i, y):
        z = tf.cond(y > 10.0, lambda: y * y, lambda: y * 3.0)
        return i + 1, y + tf.gradients(z, y)[0]

    _, y = tf.while_loop(lambda i, y: i < 4, step, [0, x])
    with tf.Session() as session:
        assert session.run(y, {x: 5.0}) == 5 + 3 + 3 + 22 + 66


def test_gradients_of_what_all_iterations_read(fresh_graph):
    """Within the body they are those of one iteration."""
    x = tf.placeholder(tf.float32, [])
    y = tf.while_loop(lambda y: y < 9.0, lambda y: y + tf.gradients(y * x, x)[0], [1.0])
    with tf.Session() as session:
        assert session.run(y) == 16


def test_gradients_out_of_a_body_are_refused(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    inside = []
    tf.while_loop(lambda y: y < 4.0, lambda y: (inside.append(y * x), y + 1.0)[1], [0.0])
    with pytest.raises(ValueError, match="because 'while/mul/Enter' is in a while loop"):
        tf.gradients(inside[0], x)


def test_gradients_by_a_first_value_are_refused(fresh_graph):
    x = tf.placeholder(tf.float32, [], "x")
    with pytest.raises(ValueError, match="with respect to op 'x'"):
        tf.while_loop(lambda y: y < 4.0, lambda y: y + tf.gradients(y * y, x)[0], [x])


def test_gradients_of_gradients_of_loops_are_refused(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    y = tf.while_loop(lambda y: y < 9.0, lambda y: y * y, [x])
    with pytest.raises(TypeError, match="Second-order gradient for while loops not supported"):
        tf.gradients(tf.gradients(y * x, x), x)
