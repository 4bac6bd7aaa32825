"""Gradients through loops: what unrolled graphs give, wherever they run, and differences tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf

SOFT = tf.ConfigProto(allow_soft_placement=True)
TRACE = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)


class Unrolled:
    """The words of the programs, as a graph without loops; turns and ways are known numbers."""

    @staticmethod
    def loop(turns, body, first):
        value = first
        for turn in range(turns):
            value = body(turn, value)
        return value

    @staticmethod
    def cond(turn, modulus, yes, no):
        return yes() if turn % modulus == 0 else no()

    @staticmethod
    def number(turn):
        return tf.constant(float(turn))


class Looped:
    """The words as they are meant."""

    @staticmethod
    def loop(turns, body, first):
        shapes = [tf.TensorShape([]), first.shape]
        return tf.while_loop(
            lambda i, _: i < turns, lambda i, v: (i + 1, body(i, v)), (0, first), shapes
        )[1]

    @staticmethod
    def cond(turn, modulus, yes, no):
        return tf.cond(tf.equal(turn % modulus, 0), yes, no)

    @staticmethod
    def number(turn):
        return tf.cast(turn, tf.float32)


def _on(device, build):
    with tf.device(device):
        return build()


WORDS = {
    "mul": lambda a, b: a * b,
    "add": lambda a, b: a + b,
    "sin": tf.sin,
    "mean": lambda a: a * tf.reduce_mean(a),
    "stop": tf.stop_gradient,
    "on": _on,
}


@st.composite
def programs(draw, names=("x", "w"), turns=("0",), depth=3):
    """An expression of a vector, as text; `turns` are the numbers of iterations around."""

    def inner(names=names, turns=turns):
        return draw(programs(names, turns, depth - 1))

    kind = draw(st.integers(0, 8)) if depth else 0
    if kind == 0:
        return draw(st.sampled_from(names))
    if kind in (1, 2):
        return f"{draw(st.sampled_from(['mul', 'add']))}({inner()}, {inner()})"
    if kind == 3:
        return f"{draw(st.sampled_from(['sin', 'mean', 'stop']))}({inner()})"
    if kind == 4:
        return f"mul({inner()}, L.number({draw(st.sampled_from(turns))}))"
    if kind == 5:
        return f"on('{draw(st.sampled_from(['/cpu:0', '/gpu:0']))}', lambda: {inner()})"
    if kind == 6 and turns != ("0",):
        modulus, turn = draw(st.integers(1, 3)), draw(st.sampled_from(turns[1:]))
        return f"L.cond({turn}, {modulus}, lambda: {inner()}, lambda: {inner()})"
    turn, value = f"i{len(turns)}", f"v{len(names)}"
    body = inner((*names, value), (*turns, turn))
    return f"L.loop({draw(st.integers(0, 3))}, lambda {turn}, {value}: {body}, {inner()})"


def _built(text, words, shape):
    x, w = tf.placeholder(tf.float32, shape, "x"), tf.placeholder(tf.float32, shape, "w")
    y = eval(text, {**WORDS, "L": words, "x": x, "w": w})
    grads = tf.gradients(y, [x, w], unconnected_gradients="zero")
    return [x, w], [tf.identity(tensor) for tensor in (y, *grads)]


@pytest.mark.parametrize("shape", [[2], [None]], ids=["known", "unknown"])
# The same ones each time: some unroll into graphs that take minutes.
@settings(max_examples=40, derandomize=True)
@given(text=programs())
def test_a_loop_has_the_gradients_of_its_unrolled_graph(shape, text):
    found = []
    for words in (Unrolled, Looped):
        with tf.Graph().as_default() as graph:
            names, fetches = _built(text, words, shape)
            feeds = dict(zip(names, ([0.5, -1.5], [1.25, 0.75]), strict=True))
            with tf.Session(graph=graph, config=SOFT) as session:
                found.append(session.run(fetches, feeds))
                if words is Looped:
                    found.append(session.run(fetches, feeds, TRACE, tf.RunMetadata()))
                    handle = session.partial_run_setup(fetches, names)
                    found.append(session.partial_run(handle, fetches, feeds))
    for other in found[1:]:
        for have, want in zip(other, found[0], strict=True):
            np.testing.assert_allclose(have, want, rtol=2e-5, atol=1e-5)


def _loop(body, first, turns=4, **options):
    return tf.while_loop(
        lambda i, *_: i < turns, lambda i, *v: (i + 1, *body(i, *v)), (0, *first), **options
    )[1:]


def _dense(x):
    return _loop(lambda i, y: (tf.tanh(tf.matmul(y, x)) + y,), [x])[0]


def _grows(x):
    shapes = [tf.TensorShape([]), tf.TensorShape([None, 3])]
    return _loop(lambda i, y: (tf.concat([y, y[:3] * x], 0),), [x], shape_invariants=shapes)[0]


def _rows(x):
    return _loop(lambda i, y: (y * tf.gather(x, i % 3) + tf.gather(x, [0, 2])[1],), [x[0]])[0]


def _unused(x):
    return _loop(lambda i, y, z: (y * 0.5 + z, tf.sin(z) * x), [x, x])[0]


def _overwritten(x):
    return _loop(lambda i, y, z: (x * 2.0, z + y * y), [x, x])[1]


def _limited(x):
    return _loop(lambda i, y: (y * x,), [x], maximum_iterations=3)[0]


def _serial(x):
    options = {"parallel_iterations": 1, "swap_memory": True}
    return _loop(lambda i, y: (y * x,), [x], **options)[0]


def _branches(x):
    def body(i, y):
        inner = lambda: tf.cond(i > 2, lambda: tf.sin(y) * x, lambda: y)  # noqa: E731
        return (tf.cond(i > 0, inner, lambda: tf.matmul(y, x)),)

    return _loop(body, [x])[0]


def _nested(x):
    return _loop(lambda i, y: _loop(lambda j, z: (tf.tanh(z * y) + x,), [y], turns=i), [x], 3)[0]


def _in_a_branch(x):
    return tf.cond(x[0, 0] > -9.0, lambda: _dense(x), lambda: x)


BUILDERS = [
    *(_dense, _grows, _rows, _unused, _overwritten, _limited, _serial),
    *(_branches, _nested, _in_a_branch),
]
X = np.array([[0.3, -0.5, 0.2], [0.7, 0.1, -0.4], [-0.2, 0.6, 0.5]])


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__.strip("_"))
def test_a_gradient_is_what_differences_tell(fresh_graph, device, build):
    with tf.device(device):
        x = tf.placeholder(tf.float64, [3, 3])
        total = tf.reduce_sum(tf.square(build(x)))
        (grad,) = tf.gradients(total, x)
    if isinstance(grad, tf.IndexedSlices):
        grad = tf.convert_to_tensor(grad)
    with tf.Session(config=SOFT) as session:
        found = session.run(grad, {x: X})
        expected, step = np.zeros_like(X), 1e-6
        for place in np.ndindex(X.shape):
            change = np.zeros_like(X)
            change[place] = step
            above, below = (session.run(total, {x: X + c}) for c in (change, -change))
            expected[place] = (above - below) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_variables_learn_through_a_loop(fresh_graph, device):
    """Also those that only some iterations read."""
    with tf.device(device):
        used = tf.get_variable("used", initializer=1.5)
        shared = tf.get_variable("shared", initializer=0.5, use_resource=True)

        def body(i, y):
            return (tf.cond(i > 1, lambda: y * shared, lambda: y * used),)

        (y,) = _loop(body, [tf.constant(1.0)])
        train = tf.train.GradientDescentOptimizer(0.03).minimize(tf.square(y - 1.0))
    with tf.Session(config=SOFT) as session:
        session.run(tf.global_variables_initializer())
        for _ in range(100):
            session.run(train)
        assert abs(session.run(y) - 1.0) < 1e-3


def test_no_gradient_without_back_prop(fresh_graph):
    x = tf.placeholder(tf.float32, [])
    (y,) = _loop(lambda i, y: (y * x,), [x], back_prop=False)
    assert tf.gradients(y, x) == [None]
    assert tf.gradients(y + x, x)[0] is not None


def test_only_what_gradients_need_is_kept(fresh_graph):
    """A shape rather than the tensor; nothing of what is the same in all iterations."""
    x = tf.placeholder(tf.float32, [None])
    (y,) = _loop(lambda i, y: (tf.reduce_sum(y) * x * 2.0 + y,), [x])
    tf.gradients(y, x)
    pushed = [op.inputs[1] for op in fresh_graph.get_operations() if op.type == "StackPushV2"]
    assert {t.op.type for t in pushed} <= {"Shape", "Sum", "Mul"}


def test_a_failed_step_leaves_nothing(fresh_graph):
    """Stacks are those of one step."""
    x, n = tf.placeholder(tf.float32, [2]), tf.placeholder(tf.int32, [])
    with tf.device("/cpu:0"):  # where indices are looked at
        (y,) = _loop(lambda i, y: (y * tf.gather(x, i % n),), [x], turns=6)
        (grad,) = tf.gradients(y, x)
        grad = tf.convert_to_tensor(grad)
    with tf.Session() as session:
        expected = session.run(grad, {x: [2.0, 3.0], n: 2})
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(grad, {x: [2.0, 3.0], n: 4})
        assert session.run(grad, {x: [2.0, 3.0], n: 2}).tolist() == expected.tolist()
