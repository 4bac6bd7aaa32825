"""Updates of many variables on a GPU are one launch, wherever that makes no difference."""

from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.runtime import source

OPTIMIZERS = {
    "descent": lambda: tf.train.GradientDescentOptimizer(0.1),
    "momentum": lambda: tf.train.MomentumOptimizer(0.1, 0.9, use_nesterov=True),
    "Adam": lambda: tf.train.AdamOptimizer(0.05),
    "RMSProp": lambda: tf.train.RMSPropOptimizer(0.05, centered=True),
    "Adagrad": lambda: tf.train.AdagradOptimizer(0.1),
    "Adadelta": lambda: tf.train.AdadeltaOptimizer(0.1),
    "Ftrl": lambda: tf.train.FtrlOptimizer(0.1),
}
GPU = tf.ConfigProto(allow_soft_placement=True)


@pytest.fixture(autouse=True)
def _graph(fresh_graph):
    yield


@contextmanager
def together(joins):
    """Updates are made together in the block, or one by one."""
    with pytest.MonkeyPatch.context() as patch:
        if not joins:
            patch.setattr(source, "fused_updates", lambda nodes, feeds, is_needed: nodes)
        yield


def _step(make, count, use_resource):
    with tf.device("/gpu:0"), tf.variable_scope("v", use_resource=use_resource):
        variables = [tf.get_variable(f"{n}", [n + 1, 3]) for n in range(count)]
        gradients = [tf.constant(np.full((n + 1, 3), 0.5 + n, np.float32)) for n in range(count)]
        return make().apply_gradients(zip(gradients, variables, strict=True))


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_has_as_many_launches_for_many_variables(name, use_resource, monkeypatch):
    monkeypatch.setenv("TFSESSION_GPU_GRAPHS", "0")
    launches = []
    for count in (1, 7):
        with tf.Graph().as_default():
            step = _step(OPTIMIZERS[name], count, use_resource)
            with tf.Session(config=GPU) as session:
                session.run(tf.global_variables_initializer())
                session.run(step)
                with session.counting() as counted:
                    session.run(step)
        launches.append(counted["/gpu:0"].launches)
    # Adam has two powers of its own, Ftrl half a penalty.
    assert launches == [{"Adam": 5, "Ftrl": 2}.get(name, 1)] * 2


def test_variables_of_several_types_and_sizes_get_the_same_bits():
    with tf.device("/gpu:0"):
        variables = [
            tf.Variable(np.linspace(-1, 1, size).astype(dtype))
            for size in (1, 5, 3000)
            for dtype in ("float32", "float64", "float16")
        ]
        scalar = tf.Variable(2.0)
        losses = [tf.reduce_sum(tf.cast(v * v, tf.float32)) for v in (*variables, scalar)]
        steps = [OPTIMIZERS[name]().minimize(tf.add_n(losses)) for name in ("Adam", "momentum")]
        step = tf.group(*steps)
    found = []
    for joins in (True, False):
        with together(joins), tf.Session(config=GPU) as session:
            session.run(tf.global_variables_initializer())
            for _ in range(3):
                session.run(step)
            found.append([value.tobytes() for value in session.run(tf.global_variables())])
    assert found[0] == found[1]


@pytest.mark.parametrize("use_resource", [False, True], ids=["reference", "resource"])
def test_moving_averages_do_not_part_a_norm_from_what_is_behind_it(use_resource, monkeypatch):
    def step(delays):
        with tf.Graph().as_default(), monkeypatch.context() as patch:
            patch.setenv("TFSESSION_GPU_GRAPHS", "0")
            if not delays:
                patch.setattr(source, "late_updates", lambda nodes, feeds: nodes)
            with tf.device("/gpu:0"), tf.variable_scope("v", use_resource=use_resource):
                x = tf.placeholder(tf.float32, [None, 3, 3, 4])
                norm = tf.layers.batch_normalization(x, training=True, fused=True)
                y = tf.nn.relu(norm * 2.0)
            averages = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
            with tf.Session(config=GPU) as session:
                session.run(tf.global_variables_initializer())
                fed = {x: np.random.default_rng(0).normal(size=(2, 3, 3, 4))}
                session.run([y, averages], fed)
                with session.counting() as counted:
                    found = session.run([y, averages], fed)[0]
                values = session.run(tf.global_variables())
        return counted["/gpu:0"].launches, [found, *values]

    (fewer, found), (launches, expected) = step(True), step(False)
    assert fewer < launches
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_update_is_not_later_than_what_waits_for_it_or_reads_it():
    with tf.device("/gpu:0"):
        variable = tf.Variable(1.0)
        update = tf.assign_sub(variable, 0.25)
        with tf.control_dependencies([update]):
            behind = variable.read_value() * 2.0
        other = tf.Variable(3.0)
        first = other.read_value() * 2.0
        with tf.control_dependencies([first]):
            twice = tf.assign_add(tf.assign_add(other, 1.0), 1.0) + 0.5
    with tf.Session(config=GPU) as session:
        session.run(tf.global_variables_initializer())
        for n in range(1, 4):
            found = session.run([behind, update, first, twice])
            assert found == [2 - 0.5 * n, 1 - 0.25 * n, 2 + 4.0 * n, 3.5 + 2 * n]


def test_an_error_names_its_operation_and_nothing_is_updated():
    with tf.device("/gpu:0"):
        first, second = tf.Variable([1.0, 2.0]), tf.Variable([1.0, 2.0])
        fed = tf.placeholder(tf.float32)
        steps = [
            tf.raw_ops.ApplyGradientDescent(var=v.op.outputs[0], alpha=1.0, delta=d, name=name)
            for v, d, name in ((first, tf.ones([2]), "good"), (second, fed, "bad"))
        ]
    with tf.Session(config=GPU) as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match="bad"):
            session.run([s.op for s in steps], {fed: np.ones(3)})
        session.run([s.op for s in steps], {fed: [1.0, 1.0]})
        assert session.run(second).tolist() == [0.0, 1.0]


def test_an_uninitialized_variable_is_told():
    with tf.device("/gpu:0"):
        first, second = tf.Variable([1.0]), tf.Variable([2.0], name="bare")
        step = tf.train.GradientDescentOptimizer(1.0).minimize(first * second)
    with tf.Session(config=GPU) as session:
        session.run(first.initializer)
        with pytest.raises(tf.errors.FailedPreconditionError, match="bare"):
            session.run(step)


def test_a_result_of_an_update_is_its_variable():
    with tf.device("/gpu:0"):
        variables = [tf.Variable([1.0, float(n)]) for n in range(3)]
        made = [
            tf.raw_ops.ApplyGradientDescent(var=v.op.outputs[0], alpha=0.5, delta=tf.ones([2]))
            for v in variables
        ]
    with tf.Session(config=GPU) as session:
        session.run(tf.global_variables_initializer())
        found = session.run([made[2], made[0], made[1].op])
        assert [value.tolist() for value in found[:2]] == [[0.5, 1.5], [0.5, -0.5]]


# --- what is between updates ----------------------------------------------------------------------


def _fixed(index):
    return tf.constant([float(index + 1), 0.5])


ACTIONS = st.tuples(
    st.sampled_from(["fixed", "read", "doubled", "assign", "fetch", "momentum"]),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
)


def _build(actions, use_resource):
    """Updates and other operations, some of which wait for the one before."""
    variables = [
        tf.get_variable(f"v{n}", initializer=[1.0 + n, -1.0], use_resource=use_resource)
        for n in range(4)
    ]
    slots = [tf.Variable([0.1 * n, 0.2], use_resource=use_resource) for n in range(4)]
    descent = tf.train.GradientDescentOptimizer(0.25)
    made, fetched = [], []
    for kind, one, other, waits in actions:
        variable = variables[one]
        with tf.control_dependencies(made[-1:] if waits else []):
            if kind == "fetch":
                fetched.append(variable.read_value() * 1.0)
                made.append(fetched[-1].op)
            elif kind == "assign":
                made.append(tf.assign(variable, [3.0 + other, 1.0]).op)
            elif kind == "momentum" and not use_resource:
                made.append(
                    tf.raw_ops.ApplyMomentum(
                        var=variable.op.outputs[0], accum=slots[one].op.outputs[0], lr=0.5,
                        grad=_fixed(other), momentum=0.5,
                    ).op
                )  # fmt: skip
            else:
                values = {"read": lambda v: v.value(), "doubled": lambda v: v.value() * 2.0}
                grad = values.get(kind, lambda v, n=other: _fixed(n))(variables[other])
                made.append(descent.apply_gradients([(grad, variable)]))
    return made, fetched


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTIONS, min_size=2, max_size=8), st.booleans())
def test_steps_give_what_they_give_one_after_another(actions, use_resource):
    found = []
    for joins in (True, False):
        with tf.Graph().as_default(), tf.device("/gpu:0"):
            made, fetched = _build(actions, use_resource)
            with together(joins), tf.Session(config=GPU) as session:
                session.run(tf.global_variables_initializer())
                for _ in range(3):
                    values = session.run([fetched, made])[0]
                values += session.run(tf.global_variables())
                found.append([value.tolist() for value in values])
    assert found[0] == found[1]
