"""RunOptions and the fields of ConfigProto that set the terms of a step."""

import threading

import numpy as np
import pytest

import tfsession as tf


def _options(**fields):
    return tf.RunOptions(**fields)


@pytest.fixture
def half(fresh_graph):
    x = tf.placeholder(tf.float32, [2], name="x")
    return x, x / 2.0


def test_options_of_a_step_are_read_before_anything_else(half):
    x, y = half
    with tf.Session() as session:
        with pytest.raises(AttributeError):
            session.run(3, {x: "no"}, options={"x": 1})
        assert session.run(y, {x: [2, 4]}, options={}).tolist() == [1, 2]
        assert session.run(y, {x: [2, 4]}, options=_options(trace_level=99)).tolist() == [1, 2]


def test_pools_are_named_by_number(half):
    x, y = half
    pools = [{"num_threads": 1}, {"num_threads": 2, "global_name": "two"}, {}]
    config = tf.ConfigProto(session_inter_op_thread_pool=pools)
    with tf.Session(config=config) as session:
        for pool in (0, 1, 2, -1):
            options = _options(inter_op_thread_pool=pool)
            assert session.run(y, {x: [2, 4]}, options=options).tolist() == [1, 2]
        for pool in (3, -2):
            with pytest.raises(
                tf.errors.InvalidArgumentError, match=f"Invalid inter_op_thread_pool: {pool}"
            ):
                session.run(y, {x: [2, 4]}, options=_options(inter_op_thread_pool=pool))
        assert session.run(y, {x: [2, 4]}).tolist() == [1, 2]


@pytest.mark.parametrize("threads", [-1, 0, 1, 3])
def test_any_number_of_threads_gives_the_answer(half, threads):
    x, y = half
    config = tf.ConfigProto(inter_op_parallelism_threads=threads, use_per_session_threads=True)
    with tf.Session(config=config) as session:
        found = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(session.run(y, {x: [n, n]})[0]))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert sorted(found) == [n / 2 for n in range(8)]


CHECKS = [
    (lambda x: tf.check_numerics(x, "no"), [np.inf, 1.0], True),
    (lambda x: tf.Assert(x[0] > 0, [x]), [-1.0, 1.0], False),
]


@pytest.mark.parametrize(("check", "fed", "gives"), CHECKS, ids=["CheckNumerics", "Assert"])
def test_checks_are_taken_out_of_steps_only_when_asked_for(fresh_graph, check, fed, gives, device):
    with tf.device(device):
        x = tf.placeholder(tf.float32, [2], name="x")
        checked = check(x)
        with tf.control_dependencies([checked]):
            doubled = x * 2.0
    rewrites = tf.ConfigProto(allow_soft_placement=True)
    rewrites.graph_options.rewrite_options.debug_stripper = 1
    off = tf.ConfigProto(allow_soft_placement=True)
    off.graph_options.rewrite_options.debug_stripper = 1
    off.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Session(config=rewrites) as session:
        assert session.run(doubled, {x: fed}).tolist() == [2 * value for value in fed]
        found = session.run(checked, {x: fed})
        assert found.tolist() == fed if gives else found is None
    with tf.Session(config=off) as session, pytest.raises(tf.errors.InvalidArgumentError):
        session.run(doubled, {x: fed})


def test_watches_of_a_debugger_are_refused(half):
    x, y = half
    options = _options()
    options.debug_options.debug_tensor_watch_opts.add(node_name="x")
    with tf.Session() as session:
        with pytest.raises(tf.errors.UnimplementedError, match="watches"):
            session.run(y, {x: [2, 4]}, options=options)
        assert session.run(y, {x: [2, 4]}).tolist() == [1, 2]


@pytest.fixture
def threads_of_all():
    yield tf.config.threading
    tf.config.threading.set_intra_op_parallelism_threads(0)
    tf.config.threading.set_inter_op_parallelism_threads(0)


@pytest.mark.parametrize("kind", ["intra", "inter"])
def test_threads_of_sessions_without_a_configuration(threads_of_all, kind):
    get = getattr(threads_of_all, f"get_{kind}_op_parallelism_threads")
    set_to = getattr(threads_of_all, f"set_{kind}_op_parallelism_threads")
    assert get() == 0
    before = tf.Session()
    set_to(3)
    assert get() == 3
    field = f"{kind}_op_parallelism_threads"
    assert before._config is None
    assert getattr(tf.Session()._config, field) == 3
    assert getattr(tf.Session(config=tf.ConfigProto())._config, field) == 0
    for wrong in (2.5, "x"):
        with pytest.raises(TypeError):
            set_to(wrong)
    assert get() == 3
    set_to(None)
    assert get() == 0
    set_to(-1)
    with tf.Graph().as_default(), tf.Session() as session:
        assert session.run(tf.constant(2) * 3) == 6
