"""Supervisor: what is there when a program says nothing, services, ends and errors."""

import pytest

import tfsession as tf


@pytest.fixture
def train(fresh_graph):
    x = tf.get_variable("x", [], initializer=tf.constant_initializer(1.0))
    tf.summary.scalar("seen", x)
    step = tf.train.get_or_create_global_step()
    return tf.train.GradientDescentOptimizer(0.1).minimize(tf.square(x), step)


def events(path):
    for file in sorted(path.glob("*tfevents*")):
        yield from tf.train.summary_iterator(str(file))


def test_training_from_a_checkpoint_on(train, tmp_path):
    for _ in range(2):
        sv = tf.train.Supervisor(logdir=str(tmp_path), save_model_secs=0, save_summaries_secs=0)
        with sv.managed_session() as session:
            assert session.graph.finalized
            for _ in range(3):
                assert not sv.should_stop()
                session.run(train)
            sv.saver.save(session, sv.save_path, global_step=sv.global_step)
            sv.summary_computed(session, tf.Summary())
        assert sv.should_stop()
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "model.ckpt-6")
    assert (tmp_path / "graph.pbtxt").exists()
    logs = [(e.step, e.session_log.status) for e in events(tmp_path) if e.HasField("session_log")]
    log = tf.SessionLog
    assert [s for s in logs if s[1] != log.CHECKPOINT] == [
        (0, log.START), (0, log.STOP), (3, log.START), (0, log.STOP),
    ]  # fmt: skip
    assert sum(bool(e.graph_def) for e in events(tmp_path)) == 2


def test_services(train, tmp_path):
    sv = tf.train.Supervisor(logdir=str(tmp_path), save_model_secs=0.01, save_summaries_secs=0.01)
    done = []
    with sv.managed_session() as session:
        sv.loop(0.01, done.append, (1,))
        while not done or len(list(tmp_path.glob("*.index"))) < 2:
            session.run(train)
    tags = {v.tag for e in events(tmp_path) for v in e.summary.value}
    assert tags == {"seen", "global_step/sec"}
    logs = [e.session_log for e in events(tmp_path) if e.HasField("session_log")]
    assert tf.SessionLog.CHECKPOINT in [log.status for log in logs]


def test_what_is_found_in_collections(train, tmp_path):
    saver, init = tf.train.Saver(), tf.global_variables_initializer()
    tf.add_to_collection(tf.GraphKeys.SAVERS, saver)
    tf.add_to_collection(tf.GraphKeys.INIT_OP, init)
    sv = tf.train.Supervisor(summary_op=None, local_init_op=None)
    assert (sv.saver, sv.init_op, sv.summary_op, sv.local_init_op) == (saver, init, None, None)
    assert sv.global_step is tf.train.get_global_step()
    assert sv.ready_op.op.type == "GatherV2"
    assert (sv.is_chief, sv.save_path, sv.summary_writer) == (True, None, None)
    assert (sv.save_model_secs, sv.save_summaries_secs) == (600, 120)
    with sv.managed_session() as session:
        session.run(train)
        with pytest.raises(RuntimeError, match="requires a summary writer"):
            sv.summary_computed(session, tf.Summary())
        assert sv.start_standard_services(session) is None


def test_a_graph_without_variables(fresh_graph):
    with tf.Graph().as_default() as graph:
        y = tf.constant(2.0)
    sv = tf.train.Supervisor(graph)
    assert (sv.saver, sv.global_step) == (None, None)
    with sv.managed_session() as session:
        assert session.run(y) == 2.0


def test_errors(train):
    sv = tf.train.Supervisor()
    with pytest.raises(ZeroDivisionError), sv.managed_session():
        raise ZeroDivisionError
    with sv.managed_session() as session:
        raise tf.errors.OutOfRangeError(None, None, "no more")
    with pytest.raises(RuntimeError, match="closed"):
        session.run(train)

    def fail():
        raise ValueError("of a thread")

    with pytest.raises(ValueError, match="of a thread"), sv.managed_session():
        sv.loop(None, fail)
        sv.wait_for_stop()
    with (
        pytest.raises(ValueError, match="of a block"),
        sv.managed_session(),
        sv.stop_on_exception(),
    ):
        raise ValueError("of a block")


def test_a_session_that_cannot_be_made(train):
    sv = tf.train.Supervisor(init_op=None)
    sv.session_manager._local_init_op = None
    with pytest.raises(RuntimeError, match="Model is not initialized"):
        sv.PrepareSession()


def test_workers(train):
    with pytest.raises(ValueError, match="all Variables must have their device set"):
        tf.train.Supervisor(is_chief=False, logdir="never used")
    with tf.Graph().as_default():
        with tf.device("/cpu:0"):
            v = tf.get_variable("v", initializer=tf.ones([]))
        sv = tf.train.Supervisor(is_chief=False, logdir="never used", local_init_op=v.initializer)
        assert (sv.save_path, sv.summary_writer) == (None, None)
        with sv.managed_session() as session:
            assert session.run(v) == 1.0
            with pytest.raises(RuntimeError, match="Only chief supervisor"):
                sv.start_standard_services(session)
