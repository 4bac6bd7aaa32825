"""Event files: nothing that was added is lost, nothing that was written is damaged."""

import gc
import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tfsession as tf
from tfsession.core.records import RecordWriter
from tfsession.train import event_file


def summary(value, tag="a"):
    return tf.Summary(value=[tf.Summary.Value(tag=tag, simple_value=value)])


def events(logdir):
    """The events of all files of a directory, the version of each left out, which is checked."""
    found = []
    for path in sorted(Path(logdir).iterdir()):
        first, *rest = tf.train.summary_iterator(str(path))
        assert first.file_version == "brain.Event:2"
        found += rest
    return found


def steps(logdir):
    return [event.step for event in events(logdir)]


def test_what_is_written(fresh_graph, tmp_path):
    x = tf.placeholder(tf.float32, [2], name="x")
    with tf.Session() as session, tf.summary.FileWriter(tmp_path, session.graph) as writer:
        assert writer.get_logdir() == str(tmp_path)
        merged = tf.summary.merge([tf.summary.scalar("s", x[0]), tf.summary.histogram("h", x)])
        writer.add_summary(session.run(merged, {x: [1.0, 2.0]}), 1)
        metadata = tf.RunMetadata()
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
        session.run(merged, {x: [1.0, 2.0]}, options, metadata)
        writer.add_run_metadata(metadata, "run", 2)
        with pytest.raises(ValueError, match="already used"):
            writer.add_run_metadata(metadata, "run", 3)
        writer.add_session_log(tf.SessionLog(status=tf.SessionLog.START), 3)
        writer.add_event(tf.Event(step=4))
        writer.add_summary(tf.Summary())
    graph, meta, first, run, log, plain, empty = events(tmp_path)
    assert [n.name for n in tf.GraphDef.FromString(graph.graph_def).node] == ["x"]
    assert "_output_shapes" in tf.GraphDef.FromString(graph.graph_def).node[0].attr
    meta = tf.MetaGraphDef.FromString(meta.meta_graph_def)
    assert meta.graph_def == tf.GraphDef.FromString(graph.graph_def)
    assert [op.name for op in meta.meta_info_def.stripped_op_list.op] == ["Placeholder"]
    assert (first.step, [v.tag for v in first.summary.value]) == (1, ["s", "h"])
    assert (run.step, run.tagged_run_metadata.tag) == (2, "run")
    assert tf.RunMetadata.FromString(run.tagged_run_metadata.run_metadata) == metadata
    assert (log.step, log.session_log.status) == (3, tf.SessionLog.START)
    assert plain == tf.Event(step=4)
    assert (empty.step, empty.WhichOneof("what")) == (0, "summary")


def test_graphs(fresh_graph, tmp_path):
    tf.constant(1.0, name="c")
    writer = tf.summary.FileWriter(tmp_path, graph_def=fresh_graph.as_graph_def())
    writer.add_graph(None, 7, graph_def=fresh_graph)
    for graph, graph_def, error in (
        (None, None, TypeError),
        (3, None, TypeError),
        (fresh_graph, fresh_graph, ValueError),
    ):
        with pytest.raises(error, match="graph"):
            writer.add_graph(graph, graph_def=graph_def)
    for add in (writer.add_meta_graph, writer.add_event, writer.add_summary):
        with pytest.raises(TypeError, match="int"):
            add(3)
    writer.close()
    assert [e.WhichOneof("what") for e in events(tmp_path)] == [
        "graph_def", "meta_graph_def", "graph_def",
    ]  # fmt: skip


def test_metadata_is_written_once(tmp_path):
    message = tf.Summary(
        value=[tf.Summary.Value(tag="t", metadata=tf.SummaryMetadata(display_name="d"))] * 2
    )
    before = message.SerializeToString()
    with tf.summary.FileWriter(tmp_path) as writer:
        writer.add_summary(message, 1)
        writer.add_summary(before, 2)
    found = [v.HasField("metadata") for e in events(tmp_path) for v in e.summary.value]
    assert found == [True, False, False, False]
    assert message.SerializeToString() == before


def test_flush_close_and_reopen(tmp_path):
    writer = tf.summary.FileWriter(tmp_path, filename_suffix=".end")
    assert [p.name[-4:] for p in tmp_path.iterdir()] == [".end"]
    writer.add_summary(summary(1.0), 1)
    writer.flush()
    assert steps(tmp_path) == [1]
    writer.add_summary(summary(2.0), 2)
    writer.close()
    writer.close()
    with pytest.warns(UserWarning, match="closed FileWriter"):
        writer.add_summary(summary(3.0), 3)
    with pytest.warns(UserWarning, match="closed FileWriter"):
        writer.flush()
    writer.reopen()
    writer.reopen()
    writer.add_summary(summary(4.0), 4)
    writer.close()
    assert steps(tmp_path) == [1, 2, 4]
    assert len(list(tmp_path.glob("*.end"))) == 2


def test_writers_of_one_directory_and_second(tmp_path):
    writers = [tf.summary.FileWriter(tmp_path) for _ in range(3)]
    for number, writer in enumerate(writers):
        writer.add_summary(summary(0.0), number)
    for writer in writers:
        writer.close()
    # Each has a thread that opens its file: which comes first is not said.
    assert sorted(steps(tmp_path)) == [0, 1, 2]


def test_an_event_is_there_after_flush_secs(tmp_path):
    writer = tf.summary.FileWriter(tmp_path, flush_secs=0)
    writer.add_summary(summary(0.0), 1)
    waited = threading.Event()
    while not list(tmp_path.iterdir()) or not steps(tmp_path):
        waited.wait(0.005)
    writer.close()


def test_many_threads(tmp_path):
    writer = tf.summary.FileWriter(tmp_path, max_queue=2)

    def add(first):
        for step in range(first, first + 100):
            writer.add_summary(summary(0.0), step)

    threads = [threading.Thread(target=add, args=(i * 100,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        writer.flush()
    for thread in threads:
        thread.join()
    writer.close()
    assert sorted(steps(tmp_path)) == list(range(800))


def test_a_writer_that_nobody_has_any_more(tmp_path):
    writer = tf.summary.FileWriter(tmp_path)
    writer.add_summary(summary(0.0), 1)
    thread = writer.event_writer._thread
    del writer
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()
    assert steps(tmp_path) == [1]


AT_EXIT = """
import os, sys, tfsession as tf
writer = tf.summary.FileWriter(sys.argv[1])
for step in range(500):
    writer.add_summary(tf.Summary(value=[tf.Summary.Value(tag="a", simple_value=step)]), step)
if sys.argv[2] == "fork":
    if os.fork() == 0:
        writer.add_summary(tf.Summary(), 1000)
        writer.close()
        os._exit(0)
    os.wait()
if sys.argv[2] == "error":
    raise ValueError("an end by an error")
"""


@pytest.mark.parametrize("how", ["end", "error", "fork"])
def test_the_end_of_the_process(tmp_path, how):
    if how == "fork" and not hasattr(os, "fork"):
        pytest.skip("this system has no forks")
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", AT_EXIT, tmp_path, how]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (1 if how == "error" else 0), done.stderr
    assert "Traceback" not in done.stderr.replace("Traceback", "", how == "error")
    assert steps(tmp_path) == [*range(500), *([1000] if how == "fork" else [])]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full disk")
def test_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(event_file.EventsWriter, "_made", lambda self, seconds: Path("/dev/full"))
    writer = tf.summary.FileWriter(tmp_path)
    writer.add_summary(summary(1.0), 1)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        writer.flush()
    with pytest.raises(tf.errors.ResourceExhaustedError):
        writer.add_summary(summary(1.0), 2)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        writer.close()
    monkeypatch.undo()
    writer.reopen()
    writer.add_summary(summary(1.0), 3)
    writer.close()
    assert steps(tmp_path) == [3]


def test_a_directory_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(tf.errors.OpError):
        tf.summary.FileWriter(tmp_path / "file" / "logs")
    with pytest.raises(tf.errors.UnimplementedError, match="gs"):
        tf.summary.FileWriter("gs://bucket/logs")
    with pytest.raises(tf.errors.NotFoundError):
        list(tf.train.summary_iterator(str(tmp_path / "none")))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("events")
    with tf.summary.FileWriter(path) as writer:
        for step in range(3):
            writer.add_summary(summary(float(step), "tag"), step)
    (file,) = path.iterdir()
    return file.read_bytes()


@given(st.data())
def test_damaged_files(written, tmp_path_factory, data):
    damaged = bytearray(written)
    place = data.draw(st.integers(0, len(damaged) - 1))
    if data.draw(st.booleans()):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del damaged[place:]
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged)
    intact = list(tf.train.summary_iterator(_file(written, tmp_path_factory)))
    found = []
    try:
        found.extend(tf.train.summary_iterator(str(path)))
    except tf.errors.DataLossError:
        assert len(found) < len(intact)
    else:
        assert len(damaged) < len(written)
    assert found == intact[: len(found)]


def _file(data, factory):
    path = factory.getbasetemp() / "intact"
    path.write_bytes(data)
    return str(path)


def test_a_record_that_is_no_event(tmp_path):
    with RecordWriter(tmp_path / "f") as writer:
        writer.write(b"\xff\xff")
    with pytest.raises(tf.errors.DataLossError, match="no event before 18"):
        list(tf.train.summary_iterator(str(tmp_path / "f")))


def test_the_events_writer_of_old_programs(tmp_path):
    writer = tf.python.pywrap_tensorflow.EventsWriter(os.fsencode(tmp_path / "events"))
    writer.WriteEvent(tf.Event(step=3))
    writer.Flush()
    assert steps(tmp_path) == [3]
    assert os.fsdecode(writer.FileName()) == str(next(tmp_path.iterdir()))
    writer.Close()
    writer.Flush()


def test_the_cache(fresh_graph, tmp_path):
    first = tf.summary.FileWriterCache.get(str(tmp_path))
    assert tf.summary.FileWriterCache.get(str(tmp_path)) is first
    tf.summary.FileWriterCache.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first.add_summary(summary(0.0), 1)
    assert [e.WhichOneof("what") for e in events(tmp_path)] == ["graph_def", "meta_graph_def"]
    assert tf.summary.FileWriterCache.get(str(tmp_path)) is not first
    tf.summary.FileWriterCache.clear()


def test_summary_descriptions():
    node = tf.NodeDef(name="n", op="TensorSummary")
    node.attr["description"].s = b'{"typeHint": "x"}'
    assert tf.summary.get_summary_description(node) == tf.summary.SummaryDescription(type_hint="x")
    for text in (b"", b"[]", b'{"other": 1}'):
        node.attr["description"].s = text
        with pytest.raises(ValueError, match=r"."):
            tf.summary.get_summary_description(node)
    with pytest.raises(ValueError, match="Can't get_summary_description on Const"):
        tf.summary.get_summary_description(tf.NodeDef(op="Const"))
