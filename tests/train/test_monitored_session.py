"""Monitored sessions: hooks in their order, recovery, ends and errors."""

import threading

import numpy as np
import pytest

import tfsession as tf


@pytest.fixture
def counted(fresh_graph):
    """An operation that counts the global step."""
    return tf.assign_add(tf.train.get_or_create_global_step(), 1)


@pytest.fixture(autouse=True)
def no_writers_left():
    yield
    tf.summary.FileWriterCache.clear()


class Told(tf.train.SessionRunHook):
    """Remembers what it is told."""

    def __init__(self, log, name="h"):
        self.log, self.name = log, name

    def begin(self):
        self.log.append(f"{self.name}.begin")

    def after_create_session(self, session, coord):
        assert session.graph.finalized
        assert tf.get_default_graph() is session.graph
        self.log.append(f"{self.name}.created")

    def before_run(self, run_context):
        self.log.append(f"{self.name}.before")

    def after_run(self, run_context, run_values):
        self.log.append(f"{self.name}.after")

    def end(self, session):
        session.run(tf.get_default_graph().get_operations()[0])
        self.log.append(f"{self.name}.end")


def test_the_order_of_hooks(counted):
    log = []
    with tf.train.MonitoredSession(hooks=[Told(log, "a"), Told(log, "b")]) as session:
        assert session.run(counted) == 1
        assert not session.should_stop()
    each = ["begin", "created", "before", "after", "end"]
    assert log == [f"{name}.{what}" for what in each for name in "ab"]
    assert session.should_stop()
    assert not tf.get_default_graph().finalized
    for action in (session.close, lambda: session.run(counted)):
        with pytest.raises(RuntimeError, match="already closed"):
            action()


@pytest.mark.parametrize("kind", [tf.train.MonitoredSession, tf.train.SingularMonitoredSession])
def test_ends_that_are_no_errors(counted, kind):
    log = []
    queue = tf.FIFOQueue(1, tf.float32)
    close, dequeue = queue.close(), queue.dequeue()
    with kind(hooks=[Told(log)]) as session:
        session.run(close)
        session.run(dequeue)
    assert log[-2:] == ["h.before", "h.end"]
    with kind() as session:
        raise StopIteration
    with pytest.raises(ZeroDivisionError), kind(hooks=[Told(log)]) as session:
        raise ZeroDivisionError
    assert log[-1] == "h.created"


def test_what_hooks_ask_for(counted):
    x, y = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
    double, metadata = x * 2, []

    class Hook(tf.train.SessionRunHook):
        def begin(self):
            self.total = x + y

        def before_run(self, run_context):
            assert run_context.original_args == tf.train.SessionRunArgs([double], {x: 3.0})
            assert not run_context.stop_requested
            trace = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            return tf.train.SessionRunArgs({"sum": self.total}, {y: 4.0}, trace)

        def after_run(self, run_context, run_values):
            metadata.append(run_values.run_metadata)
            assert run_values.results == {"sum": 7.0}
            assert run_values.options.trace_level == tf.RunOptions.FULL_TRACE
            run_context.request_stop()

    options = tf.RunOptions(timeout_in_ms=60000)
    with tf.train.MonitoredSession(), pytest.raises(RuntimeError, match="finalized"):
        tf.constant(1.0)
    with tf.train.MonitoredSession(hooks=[Hook()]) as session:
        assert session.run([double], {x: 3.0}, options) == [6.0]
        assert options == tf.RunOptions(timeout_in_ms=60000)
        assert session.should_stop()
        with pytest.raises(RuntimeError, match="after should_stop requested"):
            session.run(double, {x: 3.0})
    assert metadata[0].step_stats.dev_stats


def test_tensors_that_are_fed_twice(counted):
    x = tf.placeholder(tf.float32)
    feed = tf.train.FeedFnHook(lambda: {x: 1.0})
    with tf.train.MonitoredSession(hooks=[feed]) as session:
        assert session.run(x) == 1.0
        with pytest.raises(RuntimeError, match="fed by a SessionRunHook and user"):
            session.run(x, {x: 2.0})
    hooks = [feed, tf.train.FeedFnHook(feed.feed_fn)]
    with (
        tf.train.MonitoredSession(hooks=hooks) as session,
        pytest.raises(RuntimeError, match="fed by two hooks"),
    ):
        session.run(x)


@pytest.mark.parametrize("kind", [tf.errors.AbortedError, tf.errors.UnavailableError])
def test_recovery(counted, tmp_path, kind):
    failures = [4]

    class Fails(tf.train.SessionRunHook):
        def after_run(self, run_context, run_values):
            if failures and run_context.session.run(step) == failures[0]:
                failures.pop()
                raise kind(None, None, "lost")

    log, step = [], tf.train.get_global_step()
    saver = tf.train.CheckpointSaverHook(str(tmp_path), save_steps=2, saver=tf.train.Saver())
    creator = tf.train.ChiefSessionCreator(checkpoint_dir=str(tmp_path))
    hooks = [Told(log), Fails(), saver, tf.train.StopAtStepHook(last_step=6)]
    seen = []
    with tf.train.MonitoredSession(creator, hooks) as session:
        while not session.should_stop():
            seen.append(int(session.run(counted)))
    # The fourth step is lost, and run again from the checkpoint at the second.
    assert seen == [1, 2, 3, 3, 4, 5, 6]
    assert log.count("h.created") == 2
    assert log.count("h.begin") == log.count("h.end") == 1


def test_no_recovery(counted):
    class Fails(tf.train.SessionRunHook):
        def after_run(self, run_context, run_values):
            raise tf.errors.AbortedError(None, None, "lost")

    with (
        pytest.raises(tf.errors.AbortedError, match="lost"),
        tf.train.SingularMonitoredSession([Fails()]) as session,
    ):
        assert session.raw_session().graph is session.graph
        session.run(counted)
    assert session.graph is None


def test_a_session_that_cannot_be_made_at_once(counted):
    class Creator(tf.train.SessionCreator):
        made = 0

        def create_session(self):
            self.made += 1
            if self.made < 3:
                raise tf.errors.UnavailableError(None, None, "not yet")
            return tf.train.ChiefSessionCreator().create_session()

    with tf.train.MonitoredSession(Creator()) as session:
        assert session.run(counted) == 1


def test_a_hook_that_refuses_the_session(counted):
    class Refuses(tf.train.SessionRunHook):
        def after_create_session(self, session, coord):
            self.session = session
            raise ValueError("no")

    hook = Refuses()
    with pytest.raises(ValueError, match="no"):
        tf.train.MonitoredSession(hooks=[hook])
    with pytest.raises(RuntimeError, match="closed"):
        hook.session.run(counted)
    assert not tf.get_default_graph().finalized


def test_steps_as_functions(counted):
    log = []

    def step_fn(step_context):
        value = step_context.session.run(counted)
        if value >= 3:
            step_context.request_stop()
        return value, step_context.run_with_hooks(counted)

    with tf.train.MonitoredSession(hooks=[Told(log)]) as session:
        assert session.run_step_fn(step_fn) == (1, 2)
        with pytest.raises(ValueError, match="step_context"):
            session.run_step_fn(lambda other: None)
        session.run_step_fn(step_fn)
    assert log.count("h.before") == 1
    with tf.train.SingularMonitoredSession() as session:
        assert session.run_step_fn(step_fn) == (1, 2)


class Runner:
    """Stands for a QueueRunner: one thread that waits, or fails."""

    def __init__(self, error=None):
        self.error, self.stopped = error, threading.Event()

    def create_threads(self, sess, coord, daemon, start):
        def run():
            with coord.stop_on_exception():
                if self.error is not None:
                    raise self.error
                coord.wait_for_stop()
                self.stopped.set()

        thread = threading.Thread(target=run, daemon=daemon)
        coord.register_thread(thread)
        if start:
            thread.start()
        return [thread]


def test_threads_end_with_the_session(counted):
    runner = Runner()
    tf.add_to_collection(tf.GraphKeys.QUEUE_RUNNERS, runner)
    with tf.train.MonitoredSession() as session:
        session.run(counted)
        assert not runner.stopped.is_set()
    assert runner.stopped.is_set()


def test_an_error_of_a_thread_ends_the_session(counted):
    tf.add_to_collection(tf.GraphKeys.QUEUE_RUNNERS, Runner(ValueError("of a thread")))
    session = tf.train.MonitoredSession()
    while not session.should_stop():
        pass
    with pytest.raises(ValueError, match="of a thread"):
        session.close()
    with pytest.raises(ValueError, match="of a thread"), tf.train.SingularMonitoredSession():
        pass


def test_training_from_a_checkpoint_on(fresh_graph, tmp_path):
    x = tf.get_variable("x", [], initializer=tf.constant_initializer(1.0))
    tf.summary.scalar("seen", x)
    train = tf.train.GradientDescentOptimizer(0.1).minimize(
        tf.square(x), global_step=tf.train.get_or_create_global_step()
    )

    def run(until):
        hooks = [tf.train.StopAtStepHook(last_step=until)]
        with tf.train.MonitoredTrainingSession(
            checkpoint_dir=str(tmp_path), hooks=hooks, save_checkpoint_steps=5,
            save_summaries_steps=2, log_step_count_steps=2,
        ) as session:  # fmt: skip
            while not session.should_stop():
                session.run(train)

    run(3)
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-3")
    run(7)
    tf.summary.FileWriterCache.clear()
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-7")
    value = tf.train.load_variable(str(tmp_path), "x")
    assert value == pytest.approx(0.8**7)
    tags = {
        value.tag
        for path in tmp_path.glob("*tfevents*")
        for event in tf.train.summary_iterator(str(path))
        for value in event.summary.value
    }
    assert tags == {"seen", "global_step/sec"}
    assert (tmp_path / "graph.pbtxt").exists()
    with tf.train.SingularMonitoredSession(
        checkpoint_filename_with_path=str(tmp_path / "model.ckpt-3")
    ) as session:
        assert session.raw_session().run(x) == pytest.approx(0.8**3)


def test_a_training_without_checkpoints(counted):
    with tf.train.MonitoredTrainingSession(
        hooks=[tf.train.StopAtStepHook(2)], chief_only_hooks=[tf.train.StepCounterHook(1)]
    ) as session:
        while not session.should_stop():
            session.run(counted)


class TestScaffold:
    def test_defaults(self, fresh_graph):
        tf.get_variable("g", [])
        tf.get_variable("l", [], collections=[tf.GraphKeys.LOCAL_VARIABLES])
        scaffold = tf.train.Scaffold(init_fn=lambda scaffold, session: None)
        assert scaffold.init_op is None
        assert scaffold.finalize() is scaffold
        assert fresh_graph.finalized
        for part in ("init_op", "ready_op", "ready_for_local_init_op", "local_init_op", "saver"):
            assert getattr(scaffold, part) is not None
        assert scaffold.summary_op is None
        assert tf.get_collection(tf.GraphKeys.SAVERS) == [scaffold.saver]
        again = tf.train.Scaffold().finalize()
        assert again.init_op is scaffold.init_op
        copied = tf.train.Scaffold(init_op="mine", copy_from_scaffold=scaffold)
        assert (copied.init_op, copied.saver) == ("mine", scaffold.saver)
        assert copied.init_fn is not None
        with pytest.raises(TypeError, match="not a Scaffold"):
            tf.train.Scaffold(copy_from_scaffold=3)

    def test_what_is_not_clear(self, fresh_graph):
        for _ in range(2):
            tf.add_to_collection(tf.GraphKeys.INIT_OP, tf.no_op())
        with pytest.raises(RuntimeError, match='More than one item in the collection "init_op"'):
            tf.train.Scaffold().finalize()

    def test_initialization(self, fresh_graph):
        x = tf.placeholder(tf.float32, [])
        v = tf.get_variable("v", initializer=x)
        w = tf.get_variable("w", initializer=tf.zeros([]))
        local = tf.get_variable("l", initializer=v + 1, collections=[tf.GraphKeys.LOCAL_VARIABLES])
        loaded = tf.assign(w, 5.0)
        scaffold = tf.train.Scaffold(
            init_feed_dict={x: 2.0},
            local_init_feed_dict={x: 9.0},
            init_fn=lambda scaffold, session: session.run(loaded),
        )
        with tf.train.MonitoredSession(tf.train.ChiefSessionCreator(scaffold)) as session:
            assert session.run([v, w, local]) == [2.0, 5.0, 3.0]

    def test_a_model_that_is_not_ready(self, fresh_graph):
        tf.get_variable("v", [])
        with pytest.raises(RuntimeError, match=r"did not make model ready.*not initialized: v"):
            tf.train.MonitoredSession(
                tf.train.ChiefSessionCreator(tf.train.Scaffold(init_op=tf.no_op()))
            )


class TestSessionManager:
    def test_arguments(self, fresh_graph, tmp_path):
        with pytest.raises(ValueError, match="must also pass a local_init_op"):
            tf.train.SessionManager(ready_for_local_init_op=tf.no_op())
        manager = tf.train.SessionManager()
        with pytest.raises(RuntimeError, match="no init_op or init_fn or local_init_op"):
            manager.prepare_session("")
        with pytest.raises(ValueError, match="both checkpoint_dir and"):
            manager.prepare_session(
                "",
                init_op=tf.no_op(),
                saver=3,
                checkpoint_dir="d",
                checkpoint_filename_with_path="f",
            )

    def test_recovery(self, fresh_graph, tmp_path):
        v = tf.get_variable("v", initializer=tf.ones([]))
        saver = tf.train.Saver()
        manager = tf.train.SessionManager(ready_op=tf.report_uninitialized_variables())
        session, ready = manager.recover_session("", saver, str(tmp_path))
        assert not ready
        session.run(v.initializer)
        saver.save(session, str(tmp_path / "m"), global_step=1)
        session.close()
        session, ready = manager.recover_session("", saver, str(tmp_path))
        assert ready
        assert session.run(v) == 1.0
        session.close()

    def test_waiting_for_another(self, fresh_graph, monkeypatch):
        v = tf.get_variable("v", initializer=tf.ones([]))
        manager = tf.train.SessionManager(
            ready_op=tf.report_uninitialized_variables(), recovery_wait_secs=0.01
        )
        with pytest.raises(tf.errors.DeadlineExceededError, match="was not ready after waiting"):
            manager.wait_for_session("", max_wait_secs=0.005)
        slept = []
        monkeypatch.setattr("tfsession.train.session_manager.time.sleep", slept.append)
        ready = tf.train.SessionManager(
            local_init_op=v.initializer, ready_op=tf.report_uninitialized_variables()
        )
        assert ready.wait_for_session("").run(v) == 1.0
        assert slept == []


def test_a_worker_waits_for_the_chief(counted):
    # Alone it would wait for ever; here its own local initializer makes the model ready.
    scaffold = tf.train.Scaffold(
        ready_for_local_init_op=tf.constant([], tf.string),
        local_init_op=tf.global_variables_initializer(),
    )
    with tf.train.MonitoredTrainingSession(
        is_chief=False, scaffold=scaffold, checkpoint_dir="never used"
    ) as session:
        assert np.asarray(session.run(counted)) == 1


def test_an_input_that_ends_is_the_end(counted):
    (item,) = tf.train.slice_input_producer([tf.range(5)], num_epochs=2, shuffle=False)
    batch, seen = tf.train.batch([item], 2), []
    with tf.train.MonitoredTrainingSession() as session:
        while not session.should_stop():
            seen += session.run([batch, counted])[0].tolist()
    assert seen == [*range(5)] * 2
    assert not [t for t in threading.enumerate() if t.name.startswith("QueueRunnerThread")]


def test_an_input_that_fails_is_an_error(counted):
    (item,) = tf.train.slice_input_producer([["1", "2", "three"]], num_epochs=1, shuffle=False)
    batch = tf.train.batch([tf.string_to_number(item)], 1)
    with (
        pytest.raises(tf.errors.InvalidArgumentError, match="three"),
        tf.train.MonitoredTrainingSession() as session,
    ):
        while not session.should_stop():
            session.run([batch, counted])
