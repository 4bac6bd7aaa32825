"""SyncReplicasOptimizer: replicas that are threads make the updates of one optimizer."""

import threading

import numpy as np
import pytest

import tfsession as tf

pytestmark = pytest.mark.usefixtures("fresh_graph")

RNG = np.random.RandomState(3)
ROWS = RNG.randn(5, 8, 3).astype(np.float32)
WORDS = RNG.randint(0, 6, (5, 8))
TARGETS = ROWS.sum(2) + WORDS


def model(use_resource=False):
    """A loss with a dense and a sparse gradient, and its placeholders."""
    rows, words = tf.placeholder(tf.float32, [None, 3]), tf.placeholder(tf.int64, [None])
    target = tf.placeholder(tf.float32, [None])
    kwargs = {"initializer": tf.zeros_initializer(), "use_resource": use_resource}
    weights, table = tf.get_variable("w", [3], **kwargs), tf.get_variable("e", [6], **kwargs)
    guess = tf.reduce_sum(rows * weights, 1) + tf.gather(table, words)
    return tf.reduce_mean(tf.square(guess - target)), (rows, words, target), (weights, table)


def batch(placeholders, step, part=slice(None)):
    values = (ROWS[step, part], WORDS[step, part], TARGETS[step, part])
    return dict(zip(placeholders, values, strict=True))


def plain(make):
    """The variables after training by the optimizer alone, on whole batches."""
    with tf.Graph().as_default(), tf.Session() as session:
        loss, placeholders, variables = model()
        train = make().minimize(loss)
        session.run(tf.global_variables_initializer())
        for step in range(5):
            session.run(train, batch(placeholders, step))
        return session.run(variables)


def together(*calls):
    """Call each in a thread of its own, and wait for all."""
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("use_resource", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: tf.train.GradientDescentOptimizer(0.1),
        lambda: tf.train.MomentumOptimizer(0.1, 0.5),
    ],
    ids=["descent", "momentum"],
)
def test_two_halves_of_a_batch_train_as_the_whole(make, use_resource):
    # The mean of a word's slice is over the halves that have it: here both have all words.
    loss, placeholders, variables = model(use_resource)
    step = tf.train.get_or_create_global_step()
    optimizer = tf.train.SyncReplicasOptimizer(make(), 2)
    train = optimizer.minimize(loss, global_step=step)
    runner, coordinator = optimizer.get_chief_queue_runner(), tf.train.Coordinator()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(optimizer.chief_init_op)
        threads = runner.create_threads(session, coord=coordinator, start=True)
        for number in range(5):
            feeds = batch(placeholders, number)
            together(*[lambda f=feeds: session.run(train, f)] * 2)
            assert session.run(step) == number + 1
        found = session.run(variables)
        coordinator.request_stop()
        coordinator.join(threads, stop_grace_period_secs=20)
    for have, want in zip(found, plain(make), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-5)


def test_the_hook_of_the_chief(tmp_path):
    loss, placeholders, variables = model()
    step = tf.train.get_or_create_global_step()
    optimizer = tf.train.SyncReplicasOptimizer(tf.train.GradientDescentOptimizer(0.1), 1)
    train = optimizer.minimize(loss, global_step=step)
    hooks = [optimizer.make_session_run_hook(True, num_tokens=0)]
    for last in (3, 5):  # the second time it goes on from a checkpoint
        with tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(tmp_path), hooks=hooks, save_summaries_steps=None
        ) as session:
            while (number := session.run(step)) < last:
                session.run(train, batch(placeholders, number))
            found = session.run(variables)
    want = plain(lambda: tf.train.GradientDescentOptimizer(0.1))
    for have, expected in zip(found, want, strict=True):
        np.testing.assert_allclose(have, expected, rtol=1e-5)


def test_a_late_gradient_counts_for_nothing_and_waits_for_nothing():
    weight = tf.Variable(0.0)
    grad, step = tf.placeholder(tf.float32, []), tf.train.get_or_create_global_step()
    optimizer = tf.train.SyncReplicasOptimizer(tf.train.GradientDescentOptimizer(1.0), 2, 3)
    train = optimizer.apply_gradients([(grad, weight)], step)
    hook = optimizer.make_session_run_hook(True, num_tokens=0)
    (local,) = tf.local_variables()
    back = tf.assign(local, 0)
    with tf.train.MonitoredSession(hooks=[hook]) as session:
        together(*[lambda: session.run(train, {grad: 3.0})] * 2)
        assert session.run([weight, step, local]) == [-3.0, 1, 1]
        # Of the three tokens of this step one is left, for the replica that comes late.
        session.run(back)
        session.run(train, {grad: 100.0})
        assert session.run([weight, step, local]) == [-3.0, 1, 1]
        together(*[lambda: session.run(train, {grad: 5.0})] * 2)
        assert session.run([weight, step]) == [-8.0, 2]


def test_a_replica_that_is_not_the_chief_sets_its_step_only():
    loss, _, _ = model()
    step = tf.train.get_or_create_global_step()
    optimizer = tf.train.SyncReplicasOptimizer(tf.train.GradientDescentOptimizer(0.1), 2)
    optimizer.minimize(loss, global_step=step)
    hook = optimizer.make_session_run_hook(False)
    before = len(tf.get_default_graph().get_operations())
    hook.begin()
    assert len(tf.get_default_graph().get_operations()) == before
    with tf.Session() as session:
        with pytest.raises(RuntimeError, match="not make model ready for SyncReplicasOptimizer"):
            hook.after_create_session(session, None)
        session.run([tf.global_variables_initializer(), step.initializer])
        session.run(step.assign(7))
        hook.after_create_session(session, None)
        (local,) = tf.local_variables()
        assert session.run(local) == 7


def test_what_is_refused():
    def make(replicas=3, total=1):
        return tf.train.SyncReplicasOptimizer(
            tf.train.AdamOptimizer(), replicas, total, name="named"
        )

    optimizer, weight = make(), tf.Variable(1.0)
    step = tf.train.get_or_create_global_step()
    for call in (
        optimizer.get_chief_queue_runner,
        optimizer.get_init_tokens_op,
        optimizer.make_session_run_hook(True).begin,
        lambda: optimizer.apply_gradients([], step),
        lambda: optimizer.apply_gradients([(tf.constant(1.0), weight)]),
        lambda: optimizer.apply_gradients([(1.0, weight)], step),
    ):
        with pytest.raises(ValueError, match=r"called|at least one|required|Unknown grad"):
            call()
    optimizer = make()
    optimizer.apply_gradients([(tf.constant(1.0), weight), (None, tf.Variable(2.0))], step)
    with pytest.raises(ValueError, match=r"Too few tokens .* 1 \(given\) vs 2 \(needed\)"):
        optimizer.get_init_tokens_op(1)
    assert optimizer.get_slot_names() == ["m", "v"]
    assert optimizer.get_slot(weight, "m") in optimizer.variables()
    # More replicas than gradients of an update need no tokens to begin with.
    enough = make(1, 1)
    enough.apply_gradients([(tf.constant(1.0), weight)], step)
    assert enough.get_init_tokens_op(0).type == "NoOp"
