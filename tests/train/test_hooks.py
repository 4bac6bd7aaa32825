"""Hooks of steps, each driven as a monitored session does it."""

import json
import logging
import re

import numpy as np
import pytest

import tfsession as tf
from tfsession.core import verbosity


@pytest.fixture
def logged(monkeypatch):
    lines = []

    class Keep(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = verbosity.get_logger()
    monkeypatch.setattr(logger, "handlers", [Keep()])
    monkeypatch.setattr(logger, "propagate", False)
    level = logger.level
    logger.setLevel(logging.INFO)
    yield lines
    logger.setLevel(level)


class Driver:
    """Runs `fetch` with one hook, in the order that hooks are told of."""

    def __init__(self, hook, fetch):
        self.hook, self.fetch = hook, fetch
        hook.begin()
        self.session = tf.Session()
        self.session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        hook.after_create_session(self.session, None)

    def step(self, feeds=None):
        """Whether the hook asks for the end."""
        context = tf.train.SessionRunContext(tf.train.SessionRunArgs(self.fetch), self.session)
        wish = self.hook.before_run(context) or tf.train.SessionRunArgs(None)
        fetches = [self.fetch] if wish.fetches is None else [self.fetch, wish.fetches]
        metadata, feeds = tf.RunMetadata(), {**(feeds or {}), **(wish.feed_dict or {})}
        values = self.session.run(fetches, feeds, wish.options, metadata)
        result = values[1] if len(values) > 1 else None
        self.hook.after_run(context, tf.train.SessionRunValues(result, wish.options, metadata))
        return context.stop_requested

    def run(self, steps):
        for number in range(steps):
            if self.step():
                return number + 1
        self.hook.end(self.session)
        return None


@pytest.fixture
def counted(fresh_graph):
    """An operation that counts the global step."""
    return tf.assign_add(tf.train.get_or_create_global_step(), 1)


def test_the_step_that_is_read(fresh_graph):
    from tfsession.train.step_counter import global_step_read  # noqa: PLC0415

    assert global_step_read() is None
    step = tf.Variable(3, name="s", trainable=False, collections=["global_step"])
    with tf.name_scope("elsewhere"):
        read = global_step_read()
    assert global_step_read() is read
    assert read.name == "s/add:0"
    with tf.Session() as session:
        assert session.run(read) == 3
        session.run(step.initializer)
        session.run(tf.assign_add(step, 4))
        assert session.run(read) == 7


@pytest.mark.parametrize(("secs", "steps"), [(None, None), (1, 1)])
def test_timers_that_do_not_know_when(secs, steps):
    with pytest.raises(ValueError, match="every_secs"):
        tf.train.SecondOrStepTimer(secs, steps)


def test_timers(monkeypatch):
    timer = tf.train.SecondOrStepTimer(every_steps=3)
    told = [s for s in range(8) if timer.should_trigger_for_step(s)
            and (timer.update_last_triggered_step(s),)]  # fmt: skip
    assert told == [0, 3, 6]
    assert timer.last_triggered_step() == 6
    timer.reset()
    assert timer.last_triggered_step() is None
    now = [100.0]
    monkeypatch.setattr("tfsession.train.hooks.time.time", lambda: now[0])
    timer = tf.train.SecondOrStepTimer(every_secs=2.0)
    assert timer.should_trigger_for_step(5)
    assert timer.update_last_triggered_step(5) == (None, None)
    now[0] = 103.0
    assert not timer.should_trigger_for_step(5)
    assert timer.should_trigger_for_step(6)
    assert timer.update_last_triggered_step(9) == (3.0, 4)
    assert not timer.should_trigger_for_step(10)


def test_stop_at_step(counted):
    assert Driver(tf.train.StopAtStepHook(last_step=3), counted).run(9) == 3
    driver = Driver(tf.train.StopAtStepHook(num_steps=2), counted)
    assert driver.run(9) == 2
    assert driver.run(9) == 1
    for wrong in ({}, {"num_steps": 1, "last_step": 1}):
        with pytest.raises(ValueError, match="num_steps or last_step"):
            tf.train.StopAtStepHook(**wrong)


def test_hooks_that_need_a_global_step(fresh_graph, tmp_path):
    for hook in (
        tf.train.StopAtStepHook(1),
        tf.train.GlobalStepWaiterHook(1),
        tf.train.StepCounterHook(),
        tf.train.SummarySaverHook(1, summary_op=tf.constant(b"")),
        tf.train.CheckpointSaverHook(str(tmp_path), save_steps=1),
        tf.train.ProfilerHook(1, output_dir=str(tmp_path)),
    ):
        with pytest.raises(RuntimeError, match="Global step should be created"):
            hook.begin()
    tf.summary.FileWriterCache.clear()


def test_logging(counted, logged):
    x = tf.constant([1e-9, 1.0], name="x")
    y = tf.add(tf.cast(counted, tf.float32), 0.5, name="y")
    with pytest.raises(ValueError, match="is ambiguous"):
        tf.unstack(x, name="many")
        tf.train.LoggingTensorHook(["many"], 1).begin()
    with pytest.raises(ValueError, match="current graph"), tf.Graph().as_default():
        tf.train.LoggingTensorHook([x], 1).begin()
    Driver(tf.train.LoggingTensorHook({"b": "x", "a": y}, every_n_iter=2, at_end=True), y).run(3)
    first, second, last = logged
    assert first == "a = 1.5, b = [0. 1.]"
    assert re.fullmatch(r"a = 3.5, b = \[0. 1.\] \(\d.\d{3} sec\)", second)
    assert last.startswith("a = 4.5")
    logged.clear()
    Driver(tf.train.LoggingTensorHook([x], at_end=True, formatter=lambda v: f"{len(v)}!"), y).run(2)
    Driver(tf.train.LoggingTensorHook(["y:0"], every_n_secs=1e9), y).run(2)
    assert logged == ["1!", "y:0 = 1.5"]
    for wrong in ({}, {"every_n_iter": 1, "every_n_secs": 1}, {"every_n_iter": 0}):
        with pytest.raises(ValueError, match="every_n_iter"):
            tf.train.LoggingTensorHook([x], **wrong)


def test_a_loss_that_is_no_number(counted, logged):
    loss = tf.placeholder(tf.float32, [])
    driver = Driver(tf.train.NanTensorHook(loss, fail_on_nan_loss=False), counted)
    assert not driver.step({loss: 1.0})
    assert driver.step({loss: np.nan})
    driver = Driver(tf.train.NanTensorHook(loss), counted)
    with pytest.raises(tf.train.NanLossDuringTrainingError, match="NaN loss during training"):
        driver.step({loss: np.nan})
    assert logged == ["Model diverged with loss = NaN."] * 2


def test_feeds_and_final_ops(counted, logged):
    x = tf.placeholder(tf.float32, [])
    numbers = iter([1.0, 2.0])
    driver = Driver(tf.train.FeedFnHook(lambda: {x: next(numbers)}), x + 1)
    driver.step()
    driver.step()
    hook = tf.train.FinalOpsHook({"a": x * 2, "b": counted}, {x: 4.0})
    assert hook.final_ops_values is None
    Driver(hook, counted).run(2)
    assert hook.final_ops_values == {"a": 8.0, "b": 3}
    queue = tf.FIFOQueue(1, tf.float32)
    driver = Driver(tf.train.FinalOpsHook(queue.dequeue()), counted)
    driver.session.run(queue.close())
    with pytest.raises(tf.errors.OutOfRangeError):
        driver.run(1)
    assert "an input that is at its end" in logged[0]


def test_waiting_for_a_step(counted, logged, monkeypatch):
    driver = Driver(tf.train.GlobalStepWaiterHook(3), counted)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        driver.session.run(counted)

    monkeypatch.setattr("tfsession.train.hooks.time.sleep", sleep)
    driver.step()
    driver.step()
    assert len(slept) == 3
    assert driver.session.run(tf.train.get_global_step()) == 5


def _values(path, tag):
    return [
        (event.step, value.simple_value)
        for file in sorted(path.iterdir())
        if "tfevents" in file.name
        for event in tf.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == tag
    ]


def test_summaries_are_saved(counted, tmp_path):
    summary = tf.summary.scalar("s", tf.cast(counted, tf.float32))
    driver = Driver(
        tf.train.SummarySaverHook(2, output_dir=str(tmp_path), summary_op=summary), summary
    )
    driver.run(5)
    assert _values(tmp_path, "s") == [(1, 1.0), (3, 3.0), (5, 5.0)]
    tf.summary.FileWriterCache.clear()
    writer = tf.summary.FileWriter(tmp_path / "own")
    Driver(
        tf.train.SummarySaverHook(1, summary_writer=writer, summary_op=[summary, summary]), counted
    ).run(1)
    assert _values(tmp_path / "own", "s") == [(1, 1.0)] * 2
    writer.close()
    with pytest.raises(ValueError, match="Exactly one of scaffold or summary_op"):
        tf.train.SummarySaverHook(1)


def test_steps_a_second(counted, tmp_path, logged):
    hook = tf.train.StepCounterHook(2, output_dir=str(tmp_path))
    Driver(hook, counted).run(5)
    tf.summary.FileWriterCache.clear()
    assert [step for step, _ in _values(tmp_path, "global_step/sec")] == [3, 5]
    assert all(speed > 0 for _, speed in _values(tmp_path, "global_step/sec"))
    assert len(logged) == 2
    logged.clear()
    Driver(tf.train.StepCounterHook(100), tf.constant(1)).run(9)
    assert len(logged) == 5
    assert "has not been increased" in logged[0]
    with pytest.raises(ValueError, match="exactly one of every_n_steps"):
        tf.train.StepCounterHook(None)


def test_traces(counted, tmp_path):
    Driver(tf.train.ProfilerHook(2, output_dir=str(tmp_path)), counted).run(6)
    tf.summary.FileWriterCache.clear()
    traces = sorted(path.name for path in tmp_path.glob("timeline-*.json"))
    assert traces == ["timeline-2.json", "timeline-4.json", "timeline-6.json"]
    events = json.loads((tmp_path / traces[0]).read_text())["traceEvents"]
    assert any(event.get("name") == "AssignAdd" for event in events)
    stats = tf.RunMetadata().step_stats
    assert tf.python.client.timeline.Timeline(stats).generate_chrome_trace_format()


class RecordingSaver:
    """Stands for a Saver: says what it was asked to save."""

    saver_def = tf.train.SaverDef(filename_tensor_name="f:0")

    def __init__(self):
        self.saved = []

    def save(self, session, path, global_step, write_meta_graph):
        self.saved.append((path, int(global_step), write_meta_graph))


class Listener(tf.train.CheckpointSaverListener):
    def __init__(self, stop_at=None):
        self.told, self.stop_at = [], stop_at

    def begin(self):
        self.told.append("begin")

    def before_save(self, session, step):
        self.told.append(("before", int(step)))

    def after_save(self, session, step):
        self.told.append(("after", int(step)))
        return step == self.stop_at

    def end(self, session, step):
        self.told.append(("end", int(step)))


def test_checkpoints(counted, tmp_path):
    saver, listener = RecordingSaver(), Listener()
    hook = tf.train.CheckpointSaverHook(
        str(tmp_path), save_steps=2, saver=saver, listeners=[listener]
    )
    Driver(hook, counted).run(3)
    tf.summary.FileWriterCache.clear()
    path = str(tmp_path / "model.ckpt")
    assert saver.saved == [(path, 0, True), (path, 2, True), (path, 3, True)]
    assert listener.told == [
        "begin", ("before", 0), ("after", 0), ("before", 2), ("after", 2), ("before", 3),
        ("after", 3), ("end", 3),
    ]  # fmt: skip
    assert 'name: "global_step"' in (tmp_path / "graph.pbtxt").read_text()
    (file,) = tmp_path.glob("*tfevents*")
    events = list(tf.train.summary_iterator(str(file)))
    logs = [(e.step, e.session_log.checkpoint_path) for e in events if e.HasField("session_log")]
    assert logs == [(0, path), (2, path), (3, path)]
    meta = [tf.MetaGraphDef.FromString(e.meta_graph_def) for e in events if e.meta_graph_def]
    assert meta[-1].saver_def == saver.saver_def


def test_a_listener_that_stops(counted, tmp_path):
    tf.add_to_collection(tf.GraphKeys.SAVERS, RecordingSaver())
    listeners = [Listener(2), Listener()]
    hook = tf.train.CheckpointSaverHook(
        str(tmp_path), save_steps=1, listeners=listeners, save_graph_def=False
    )
    assert Driver(hook, counted).run(9) == 2
    assert listeners[0].told == listeners[1].told
    assert not (tmp_path / "graph.pbtxt").exists()
    tf.summary.FileWriterCache.clear()


def test_savers_that_are_not_clear(counted, tmp_path):
    with pytest.raises(ValueError, match="both saver and scaffold"):
        tf.train.CheckpointSaverHook(str(tmp_path), save_steps=1, saver=1, scaffold=1)
    hook = tf.train.CheckpointSaverHook(str(tmp_path), save_steps=1)
    with pytest.raises(RuntimeError, match="No items in collection savers"):
        Driver(hook, counted)
    for _ in range(2):
        tf.add_to_collection(tf.GraphKeys.SAVERS, RecordingSaver())
    with pytest.raises(RuntimeError, match="More than one item in collection savers"):
        Driver(hook, counted)
    tf.summary.FileWriterCache.clear()
