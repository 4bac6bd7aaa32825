"""TensorArrays: what goes in and comes out, what is refused, and how gradients flow."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf

# What they give depends on what was written: no rows.
COVERED = [
    f"TensorArray{name}V3"
    for name in (
        *("", "Read", "Write", "Gather", "Scatter", "Concat", "Split"),
        *("Size", "Close", "Grad"),
    )
]
SOFT = tf.ConfigProto(allow_soft_placement=True)


def array(dtype=tf.float32, size=3, **options):
    return tf.TensorArray(dtype, size, **options)


def of(*values):
    return tf.constant(values, tf.float32)


def loose(*values):
    """A tensor of which nothing is known when the graph is built."""
    return tf.placeholder_with_default(of(*values), None)


def run(fetches):
    with tf.Session(config=SOFT) as session:
        return session.run(fetches)


def after(tensor, build):
    with tf.control_dependencies([tensor]):
        return build()


def pair(made, index=0):
    """An element, read twice."""
    first = made.read(index)
    return first, after(first, lambda: made.read(index))


def read_and_written(made):
    made = made.write(0, of(1))
    return after(made.read(0), lambda: made.write(0, of(1)).flow)


VALUES = {
    "unwritten, of a known shape": (lambda: array(element_shape=[2]).read(0), [0, 0]),
    "unwritten, of the shape of another": (
        lambda: array().unstack(of([1], [2])).stack(),
        [[1], [2], [0]],
    ),
    "read twice": (lambda: pair(array(clear_after_read=False).write(0, of(1))), ([1], [1])),
    "grown by a write": (lambda: array(size=0, dynamic_size=True).write(5, of(1)).size(), 6),
    "grown by a scatter": (
        lambda: array(size=1, dynamic_size=True).scatter([2, 0], of(1, 2)).size(),
        3,
    ),
    "grown by a split": (
        lambda: (
            array(size=0, dynamic_size=True, infer_shape=False).split(of(1, 2, 3), [1, 2]).size()
        ),
        2,
    ),
    "scalars": (lambda: array(size=2).unstack([1.0, 2.0]).stack(), [1, 2]),
    "gathered": (
        lambda: array(clear_after_read=False).unstack(of(1, 2, 3)).gather([2, 0, 2]),
        [3, 1, 3],
    ),
    "none gathered": (lambda: array().unstack(of(1)).gather(tf.zeros([0], tf.int32)), []),
    "scattered": (lambda: array().scatter([2, 0], of([1], [2])).read(0), [2]),
    "split": (
        lambda: array(size=3, infer_shape=False).split(of(1, 2, 3), [0, 2, 1]).read(1),
        [1, 2],
    ),
    "joined": (
        lambda: array(size=2, infer_shape=False).write(0, of(1)).write(1, of(2, 3)).concat(),
        [1, 2, 3],
    ),
    "nothing joined": (lambda: array(size=0, element_shape=[None, 2]).concat(), []),
    "integers": (lambda: array(tf.int32).unstack([3, 1, 2]).stack(), [3, 1, 2]),
    "booleans": (lambda: array(tf.bool, 2).unstack([True, False]).stack(), [True, False]),
    "texts": (
        lambda: array(tf.string, 2).write(0, "a").write(1, "bc").stack(),
        [b"a", b"bc"],
    ),
    "many texts": (lambda: array(tf.string, 2).unstack(["a", "bc"]).read(1), b"bc"),
    "sums of gradients": (
        lambda: array().write(0, of(1)).grad("g").write(0, of(2)).write(0, of(3)).read(0),
        [5],
    ),
    "gradients of what got none": (
        lambda: array().write(0, of(1)).write(1, of(1)).grad("g").write(0, of(2)).read(1),
        [0],
    ),
}


@pytest.mark.parametrize(("build", "expected"), VALUES.values(), ids=VALUES)
def test_values(fresh_graph, device, build, expected):
    with tf.device(device):
        fetches = build()
    found = run(fetches)
    if isinstance(expected, tuple):
        assert [part.tolist() for part in found] == list(expected)
    else:
        assert np.asarray(found).tolist() == expected


REFUSED = {
    "nothing there": (
        lambda: array().read(0),
        "TensorArray TensorArray_N: Could not read from TensorArray index 0.  Furthermore, the "
        "element shape is not fully defined: <unknown>.",
    ),
    "not all there": (
        lambda: array(size=1, dynamic_size=True, infer_shape=False).write(1, of(1)).stack(),
        "Could not read from TensorArray index 0.",
    ),
    "read past the end": (
        lambda: array().write(0, of(1)).read(5),
        "Tried to read from index 5 but array size is: 3",
    ),
    "read before the begin": (
        lambda: array().write(0, of(1)).read(-1),
        "Tried to read from index -1 but array size is: 3",
    ),
    "written past the end": (
        lambda: array(tensor_array_name="mine").write(5, of(1)).flow,
        "TensorArray mine_N: Tried to write to index 5 but array is not resizeable and size is: 3",
    ),
    "written before the begin": (
        lambda: array(dynamic_size=True).write(-1, of(1)).flow,
        "Tried to write to index -1 but array is not resizeable and size is: 3",
    ),
    "written twice": (
        lambda: array().write(0, of(1)).write(0, of(2)).flow,
        "Could not write to TensorArray index 0 because it has already been written to.",
    ),
    "read twice": (
        lambda: pair(array().write(0, of(1))),
        "Could not read index 0 twice because it was cleared after a previous read (perhaps try "
        "setting clear_after_read = false?).",
    ),
    "written when read": (
        lambda: read_and_written(array(clear_after_read=False)),
        "Could not write to TensorArray index 0 because it has already been read.",
    ),
    "another shape than before": (
        lambda: array().write(0, loose(1)).write(1, loose(1, 2)).flow,
        "Could not write to TensorArray index 1 because the value shape is [2] which is "
        "incompatible with the TensorArray's inferred element shape: [1] (consider setting "
        "infer_shape=False).",
    ),
    "another shape than said": (
        lambda: array(element_shape=[2]).write(0, loose(1)).flow,
        "the value shape is [1] which is incompatible with the TensorArray's inferred element "
        "shape: [2]",
    ),
    "shapes that cannot be stacked": (
        lambda: array(size=2, infer_shape=False).write(0, of(1)).write(1, of(1, 2)).stack(),
        "TensorArray has inconsistent shapes.  Index 0 has shape: [1] but index 1 has shape: [2]",
    ),
    "shapes that cannot be joined": (
        lambda: array(size=2, infer_shape=False).write(0, of([1])).write(1, of([1, 2])).concat(),
        "Index 0 has (excepting dimension 0) shape: [1] but index 1 has (excepting dimension 0) "
        "shape: [2]",
    ),
    "scalars joined": (
        lambda: array(size=2, infer_shape=False).unstack(loose(1, 2)).concat(),
        "Concat saw a scalar shape at index 0 but requires at least vectors.",
    ),
    "a negative size": (lambda: array(size=-1).flow, "Size should be >= 0."),
    "scattered past the end": (
        lambda: array(size=1).scatter([2, 0], of(1, 2)).flow,
        "Max scatter index must be < array size (2 vs. 1)",
    ),
    "lengths that are too short": (
        lambda: array(size=2, infer_shape=False).split(of(1, 2, 3), [1, 1]).flow,
        "Expected sum of lengths to be equal to values.shape[0], but sum of lengths is 2 and "
        "value's shape is: [3]",
    ),
    "lengths below zero": (
        lambda: array(size=2, infer_shape=False).split(of(1, 2), [-1, 3]).flow,
        "Expected sum of lengths to be equal to values.shape[0]",
    ),
    "too few parts": (
        lambda: array(size=3, infer_shape=False).split(of(1, 2, 3), [1, 2]).flow,
        "TensorArray's size is not equal to the size of lengths (3 vs. 2)",
    ),
    "a scalar split": (
        lambda: array(size=1, infer_shape=False).split(tf.constant(1.0), [1]).flow,
        "Expected value to be at least a vector, but received shape: []",
    ),
    "closed": (lambda: closed().read(0), "has already been closed."),
    "closed, its size": (lambda: closed(dynamic_size=True).size(), "has already been closed."),
    "another dtype": (
        lambda: array().write(0, tf.constant(1)).flow,
        "TensorArray dtype is float but Op is trying to write dtype int32.",
    ),
    "gradients of another shape": (
        lambda: array().write(0, of(1)).grad("g").write(0, loose(1, 2)).flow,
        "the value shape is [2] which is incompatible with the TensorArray's inferred element "
        "shape: [1]",
    ),
    "grown after its gradients": (
        lambda: grown(array(size=1, dynamic_size=True).write(0, of(1))),
        "Tried to write to index 4 but array is not resizeable and size is: 1",
    ),
    "gradients of gradients": (
        lambda: array().grad("a").grad("b").flow,
        "Wrong input container. _tensor_array_gradsTensorArray_N@a",
    ),
}


def closed(**options):
    made = array(**options).write(0, of(1))
    closing = after(made.flow, made.close)
    return after(closing, made.identity)


def grown(made):
    return after(made.grad("g").flow, lambda: made.write(4, of(1)).flow)


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(fresh_graph, device, build, message):
    with tf.device(device):
        fetches = build()
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        run(fetches)
    assert message in re.sub(r"(TensorArray|mine)_\d+", r"\1_N", caught.value.message)


def test_nothing_of_an_unknown_shape(fresh_graph):
    with pytest.raises(tf.errors.UnimplementedError, match="element shape <unknown> is not fully"):
        run(array(size=0).stack())


BUILT = {
    "no size": (lambda: tf.TensorArray(tf.float32), "Argument `size` must be provided"),
    "a handle and a size": (
        lambda: array(handle=array().handle),
        "Cannot provide both a `handle` and `size` arguments",
    ),
    "no flow": (
        lambda: array(size=None, handle=array().handle),
        "flow must not be None if handle is not None.",
    ),
    **{
        f"a handle and {name}": (
            lambda name=name, value=value: array(size=None, handle=array().handle, **{name: value}),
            f"`handle` and `{name}` arguments at the same time",
        )
        for name, value in {
            "tensor_array_name": "x",
            "element_shape": [],
            "dynamic_size": True,
            "clear_after_read": False,
        }.items()
    },
    "another shape": (
        lambda: array().write(0, of(1)).write(1, of(1, 2)),
        "Inconsistent shapes: saw (2,) but expected (1,)",
    ),
    "indices and values": (
        lambda: array().scatter([0, 1], of(1, 2, 3)),
        "Dimensions must be equal, but are 3 and 2",
    ),
    "an index that is no scalar": (
        lambda: array().read([0]),
        "Shape must be rank 0 but is rank 1",
    ),
}


@pytest.mark.parametrize(("build", "message"), BUILT.values(), ids=BUILT)
def test_what_cannot_be_built(fresh_graph, build, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        build()


def test_a_handle_is_a_tensor(fresh_graph):
    with pytest.raises(TypeError, match="Expected `handle` to be a Tensor, but got `3`"):
        array(size=None, handle=3)


def test_it_has_no_value_itself(fresh_graph):
    made = array().write(0, of(1))
    with tf.Session() as session, pytest.raises(TypeError, match="TensorArray"):
        session.run(made)


def test_shapes(fresh_graph):
    rows = tf.placeholder(tf.float32, [2, None])
    made = array(size=3).write(0, rows)
    assert str(made.element_shape) == "(2, ?)"
    assert str(made.read(0).shape) == "(2, ?)"
    assert str(made.stack().shape) == "(3, 2, ?)"
    assert str(made.gather([0]).shape) == "(?, 2, ?)"
    assert str(made.concat().shape) == "(6, ?)"
    assert str(made.grad("g").read(0).shape) == "(2, ?)"
    assert str(array(infer_shape=False).write(0, rows).read(0).shape) == "<unknown>"
    assert str(array(size=tf.placeholder(tf.int32, [])).write(0, rows).stack().shape) == "(?, 2, ?)"
    assert (made.dtype, made.dynamic_size) == (tf.float32, False)


def test_what_is_written_is_not_written_over(fresh_graph):
    value = tf.placeholder(tf.float32, [4])
    kept = value * 2.0
    made = array().write(0, kept)
    other = after(made.flow, lambda: kept + 1.0)
    element = after(other, lambda: made.read(0))
    with tf.Session() as session:
        found = session.run([other, element], {value: np.arange(4)})
    assert [part.tolist() for part in found] == [[1, 3, 5, 7], [0, 2, 4, 6]]


def test_it_goes_with_its_first_value(fresh_graph):
    """Elements lie where they were written."""
    with tf.device("/gpu:0"):
        value = of(1) * 2.0
    made = array().write(0, value)
    assert made.flow.op.colocation_groups() == value.op.colocation_groups()
    free = array(colocate_with_first_write_call=False).write(0, value)
    assert free.flow.op.colocation_groups() == [b"loc:@" + free.flow.op.name.encode()]


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), st.integers(-9, 9)),
        st.tuples(st.just("read"), st.integers(0, 3)),
        st.tuples(st.just("gather"), st.lists(st.integers(0, 3), min_size=1, max_size=3)),
        st.tuples(st.just("unstack"), st.lists(st.integers(-9, 9), min_size=1, max_size=4)),
    ),
    max_size=8,
)


def _expected(actions):
    """What a list does; None from where on a step fails."""
    there, was_read, results = {}, set(), []
    for kind, *rest in actions:
        if kind in ("write", "unstack"):
            written = {rest[0]: rest[1]} if kind == "write" else dict(enumerate(rest[0]))
            if written.keys() & (there.keys() | was_read):
                return None
            there.update(written)
        else:
            indices = [rest[0]] if kind == "read" else rest[0]
            if not there:
                return None
            was_read.update(indices)
            found = [there.get(index, 0) for index in indices]
            results.append(found[0] if kind == "read" else found)
    return results


@given(actions=ACTIONS, dtype=st.sampled_from([tf.float32, tf.int32, tf.int64]))
def test_it_does_what_a_list_does(device, actions, dtype):
    with tf.Graph().as_default() as graph, tf.device(device):
        made, results = array(dtype, 4, clear_after_read=False), []
        for kind, *rest in actions:
            with tf.control_dependencies(results[-1:]):
                if kind == "write":
                    made = made.write(rest[0], tf.cast(rest[1], dtype))
                elif kind == "unstack":
                    made = made.unstack(tf.cast(rest[0], dtype))
                else:
                    results.append(getattr(made, kind)(rest[0]))
        with tf.Session(graph=graph, config=SOFT) as session:
            expected = _expected(actions)
            if expected is None:
                with pytest.raises(tf.errors.InvalidArgumentError):
                    session.run([results, made.flow])
            else:
                found = session.run([results, made.flow])[0]
                assert [value.tolist() for value in found] == expected


# --- gradients ------------------------------------------------------------------------------------


def _turns(x):
    made = array(tf.float64, 4, clear_after_read=False).unstack(x)
    body = lambda i, y: (i + 1, tf.sin(y * made.read(i % 4)))  # noqa: E731
    return tf.while_loop(lambda i, _: i < 6, body, (0, x[0]))[1]


def _written(x):
    body = lambda i, y, out: (i + 1, tf.sin(y * x[1]), out.write(i, y))  # noqa: E731
    first = 0, x[0], array(tf.float64, 3)
    return tf.while_loop(lambda i, *_: i < 3, body, first)[2].stack()


def _one_way(x):
    made = array(tf.float64, 2).write(0, x[0])
    ways = lambda: made.write(1, x[1] * x[0]), lambda: made.write(1, x[2])
    return tf.cond(x[0, 0] > -9.0, *ways).stack()


GRADIENTS = {
    "read": lambda x: array(tf.float64, 4).unstack(x).read(2),
    "read by many": lambda x: pair(array(tf.float64, 4, clear_after_read=False).unstack(x), 1)[1],
    "gather": lambda x: array(tf.float64, 4, clear_after_read=False).unstack(x).gather([3, 1, 3]),
    "scatter": lambda x: array(tf.float64, 4).scatter([2, 0, 1, 3], x).stack(),
    "split": lambda x: array(tf.float64, 3, infer_shape=False).split(x, [1, 0, 3]).read(2),
    "concat": lambda x: (
        array(tf.float64, 2, infer_shape=False).write(0, x[:1]).write(1, x[1:] * x[0]).concat()
    ),
    "in a loop": _turns,
    "out of a loop": _written,
    "in a conditional": _one_way,
}


@pytest.mark.parametrize("build", GRADIENTS.values(), ids=GRADIENTS)
def test_a_gradient_is_what_differences_tell(fresh_graph, device, build):
    values = np.linspace(-0.9, 0.8, 12).reshape(4, 3)
    with tf.device(device):
        x = tf.placeholder(tf.float64, [4, 3])
        total = tf.reduce_sum(tf.exp(build(x)))
        (grad,) = tf.gradients(total, x)
    with tf.Session(config=SOFT) as session:
        found = session.run(grad, {x: values})
        for place in np.ndindex(values.shape):
            change = np.zeros_like(values)
            change[place] = 1e-6
            above, below = (session.run(total, {x: values + c}) for c in (change, -change))
            assert found[place] == pytest.approx((above - below) / 2e-6, rel=1e-5, abs=1e-8)


def test_each_call_of_gradients_sums_its_own(fresh_graph):
    x = tf.placeholder(tf.float32, [2])
    made = array(size=2, clear_after_read=False).unstack(x)
    first, second = made.read(0) * 2.0, made.read(1) * made.read(0)
    grads = [tf.gradients(y, x)[0] for y in (first, second, first)]
    with tf.Session() as session:
        found = session.run(grads, {x: [3.0, 5.0]})
    assert [grad.tolist() for grad in found] == [[2, 0], [5, 3], [2, 0]]


def test_gradients_have_names_to_be_told_by(fresh_graph):
    x = tf.placeholder(tf.float32, [2])
    y = array(size=2).unstack(x).stack()
    with pytest.raises(ValueError, match="Expected op/tensor name to start with gradients"):
        tf.gradients(y, x, name="mine")
    with tf.Session() as session:
        grad = tf.gradients(y, x, name="my/gradients_of_y")[0]
        assert session.run(grad, {x: [1.0, 2.0]}).tolist() == [1, 1]
