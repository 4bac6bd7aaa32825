"""Readers: records in order under their keys, waits that end, and what a bad file does."""

import threading
import zlib

import pytest

import tfsession as tf
from tfsession.resources.queue_kinds import FIFOQueue
from tfsession.resources.reader_kinds import TextLineReader

KINDS = ("TextLineReader", "WholeFileReader", "FixedLengthRecordReader", "TFRecordReader",
         "IdentityReader")  # fmt: skip
ACTIONS = ("Read", "ReadUpTo", "NumRecordsProduced", "NumWorkUnitsCompleted", "SerializeState",
           "RestoreState", "Reset")  # fmt: skip
# What these give depends on files and queues, which a row cannot make.
COVERED = [
    f"{name}{version}"
    for version in ("", "V2")
    for name in (*KINDS, *(f"Reader{action}" for action in ACTIONS))
]

LETTERS = bytes(range(65, 91))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    contents = {
        "text": b"l1\nl\r2\r\nl3",
        "more": b"x\n\ny\n",
        "empty": b"",
        "letters": LETTERS,
        "packed": zlib.compress(LETTERS),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    for name, kind in (("records", ""), ("zipped", "GZIP")):
        with tf.python_io.TFRecordWriter(tmp_path / name, kind) as writer:
            for record in (b"abc", b"", b"x" * 50):
                writer.write(record)


def all_records(reader, names, count=None):
    """What a reader gives of files until the queue is empty, and its two counts."""
    queue = tf.FIFOQueue(99, tf.string, [[]])
    fetch = reader.read(queue) if count is None else reader.read_up_to(queue, count)
    counts = [reader.num_records_produced(), reader.num_work_units_completed()]
    found = []
    with tf.Session() as session:
        session.run(queue.enqueue_many([names]))
        session.run(queue.close())
        with pytest.raises(tf.errors.OutOfRangeError, match="is closed and has insufficient"):
            while True:
                found.append([v if count is None else v.tolist() for v in session.run(fetch)])
        return found, [int(v) for v in session.run(counts)]


def keyed(name, *values):
    return [[f"{name}:{key}".encode(), value] for key, value in values]


CASES = [
    (lambda: tf.TextLineReader(), ["text", "empty", "more"],
     keyed("text", (1, b"l1"), (2, b"l\r2"), (3, b"l3"))
     + keyed("more", (1, b"x"), (2, b""), (3, b"y"))),
    (lambda: tf.TextLineReader(skip_header_lines=2), ["text", "empty", "more"],
     keyed("text", (3, b"l3")) + keyed("more", (3, b"y"))),
    (lambda: tf.WholeFileReader(), ["more", "empty"], [[b"more", b"x\n\ny\n"], [b"empty", b""]]),
    (lambda: tf.IdentityReader(), ["a", "b"], [[b"a", b"a"], [b"b", b"b"]]),
    (lambda: tf.FixedLengthRecordReader(10), ["letters", "empty", "letters"],
     keyed("letters", (0, LETTERS[:10]), (1, LETTERS[10:20])) * 2),
    (lambda: tf.FixedLengthRecordReader(5, 2, 3), ["letters"],
     keyed("letters", *((i, LETTERS[2 + 5 * i : 7 + 5 * i]) for i in range(4)))),
    (lambda: tf.FixedLengthRecordReader(5, 1, 3, hop_bytes=7), ["letters"],
     keyed("letters", *((i, LETTERS[1 + 7 * i : 6 + 7 * i]) for i in range(3)))),
    (lambda: tf.FixedLengthRecordReader(9, hop_bytes=8), ["letters"],
     keyed("letters", *((i, LETTERS[8 * i : 9 + 8 * i]) for i in range(3)))),
    (lambda: tf.FixedLengthRecordReader(5, 1, 3, encoding="ZLIB"), ["packed"],
     keyed("packed", *((i, LETTERS[1 + 5 * i : 6 + 5 * i]) for i in range(4)))),
    (lambda: tf.FixedLengthRecordReader(5, 30), ["letters"], []),
    (lambda: tf.TFRecordReader(), ["records", "empty"],
     keyed("records", (0, b"abc"), (19, b""), (35, b"x" * 50))),
    (lambda: tf.TFRecordReader(options=tf.python_io.TFRecordOptions("GZIP")), ["zipped"],
     keyed("zipped", (0, b"abc"), (19, b""), (35, b"x" * 50))),
]  # fmt: skip


@pytest.mark.parametrize(("make", "names", "records"), CASES)
def test_records_come_in_order(fresh_graph, files, make, names, records):
    assert all_records(make(), names) == (records, [len(records), len(names)])


@pytest.mark.parametrize(("make", "names", "records"), CASES)
def test_several_records_come_of_one_file(fresh_graph, files, make, names, records):
    found, counts = all_records(make(), names, 2)
    assert [[k, v] for keys, values in found for k, v in zip(keys, values, strict=True)] == records
    assert counts == [len(records), len(names)]
    for keys, _ in found:
        assert 1 <= len(keys) <= 2
        assert len({key.split(b":")[0] for key in keys}) == 1


@pytest.mark.parametrize("make", [tf.TextLineReader, tf.WholeFileReader, tf.TFRecordReader,
                                  lambda: tf.FixedLengthRecordReader(3)])  # fmt: skip
def test_after_a_bad_file_the_next_one_is_read(fresh_graph, files, make):
    good = "records" if make is tf.TFRecordReader else "more"
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), make()
    read = reader.read(queue)
    with tf.Session() as session:
        session.run(queue.enqueue_many([["none", good]]))
        with pytest.raises(tf.errors.NotFoundError, match="none; No such file or directory"):
            session.run(read)
        assert session.run(read)[0].startswith(good.encode())


def test_damage_ends_a_file(fresh_graph, files, tmp_path):
    data = (tmp_path / "records").read_bytes()
    (tmp_path / "records").write_bytes(data[:-1])
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), tf.TFRecordReader()
    key, _ = reader.read(queue)
    several, _ = reader.read_up_to(queue, 9)
    with tf.Session() as session:
        session.run(queue.enqueue_many([["records", "zipped", "records"]]))
        assert [session.run(key), session.run(key)] == [b"records:0", b"records:19"]
        for fetch, message in [
            (key, "truncated record at 35"),
            (key, r"corrupted record at 0 \(Is this even a TFRecord file\?\)"),
            (several, "truncated record at 35"),
        ]:
            with pytest.raises(tf.errors.DataLossError, match=message):
                session.run(fetch)


def test_a_read_waits_for_a_name_and_holds_up_nothing(fresh_graph, files):
    """Both ends of the queue are in one step."""
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), tf.WholeFileReader()
    read = reader.read(queue)
    with tf.Session() as session:
        assert session.run([read, queue.enqueue("more")])[0] == (b"more", b"x\n\ny\n")


def test_many_reads_wait_in_turn(fresh_graph, files):
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), tf.TextLineReader()
    read = reader.read(queue)
    found = []
    with tf.Session() as session:
        threads = [
            threading.Thread(target=lambda: found.append(session.run(read)[0])) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        session.run(queue.enqueue_many([["text", "more"]]))
        for thread in threads:
            thread.join(10)
    assert sorted(found) == sorted(b"%s:%d" % (n, i) for n in (b"text", b"more") for i in (1, 2, 3))


@pytest.mark.parametrize("end", ["close", "timeout", "queue"])
def test_a_wait_ends(fresh_graph, files, end):
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), tf.TextLineReader()
    read, close, put = reader.read(queue), queue.close(), queue.enqueue("more")
    options = tf.RunOptions(timeout_in_ms=100) if end == "timeout" else None
    errors = []
    session = tf.Session()

    def run():
        try:
            session.run(read, options=options)
        except Exception as error:
            errors.append(type(error))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    if end == "close":
        session.close()
    elif end == "queue":
        session.run(close)
    for thread in threads:
        thread.join(10)
    wanted = {
        "close": tf.errors.CancelledError,
        "timeout": tf.errors.DeadlineExceededError,
        "queue": tf.errors.OutOfRangeError,
    }
    assert errors == [wanted[end]] * 3
    if end == "timeout":
        session.run(put)
        assert session.run(read) == (b"more:1", b"x")
        session.close()


@pytest.mark.parametrize("make", [tf.IdentityReader, tf.WholeFileReader])
def test_state_of_a_reader(fresh_graph, files, make):
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), make()
    read, state, text = reader.read(queue), reader.serialize_state(), tf.placeholder(tf.string, [])
    restore, reset, produced = (
        reader.restore_state(text), reader.reset(), reader.num_records_produced(),
    )  # fmt: skip
    assert reader.supports_serialize
    with tf.Session() as session:
        session.run(queue.enqueue_many([["more", "text"]]))
        session.run(read)
        saved = session.run(state)
        session.run(read)
        assert session.run(produced) == 2
        session.run(restore, {text: saved})
        assert session.run(produced) == 1
        session.run(reset)
        assert session.run(produced) == 0
        with pytest.raises(tf.errors.InvalidArgumentError, match="Could not parse state"):
            session.run(restore, {text: b"\xff"})


def test_other_readers_have_no_state(fresh_graph):
    reader = tf.TextLineReader()
    assert not reader.supports_serialize
    with tf.Session() as session:
        for op, name in [(reader.serialize_state(), "Serialize"),
                         (reader.restore_state(""), "Restore")]:  # fmt: skip
            with pytest.raises(tf.errors.UnimplementedError, match=f"Reader {name}State"):
                session.run(op)


def test_a_reset_begins_with_the_next_file(fresh_graph, files):
    queue, reader = tf.FIFOQueue(9, tf.string, [[]]), tf.TextLineReader()
    key, _ = reader.read(queue)
    with tf.Session() as session:
        session.run(queue.enqueue_many([["text", "more"]]))
        assert session.run(key) == b"text:1"
        session.run(reader.reset())
        assert session.run(key) == b"more:1"


@pytest.mark.parametrize(("dtypes", "value"), [
    (tf.int32, 3), ([tf.string, tf.string], ["more", "more"]), ([tf.string], [["more", "more"]]),
])  # fmt: skip
def test_queues_of_something_else_are_refused(fresh_graph, files, dtypes, value):
    queue, reader = tf.FIFOQueue(9, dtypes), tf.WholeFileReader()
    with tf.Session() as session:
        session.run(queue.enqueue(value))
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"single string|one-element"):
            session.run(reader.read(queue))


@pytest.mark.parametrize(("make", "message"), [
    (lambda: tf.FixedLengthRecordReader(0), "record_bytes must be positive"),
    (lambda: tf.FixedLengthRecordReader(3, -1), "header_bytes must be >= 0"),
    (lambda: tf.FixedLengthRecordReader(3, encoding="XX"), "Unknown compression 'XX'"),
])  # fmt: skip
def test_settings_are_checked(fresh_graph, make, message):
    queue = tf.FIFOQueue(9, tf.string, [[]])
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            session.run(make().read(queue))
        with pytest.raises(tf.errors.InvalidArgumentError, match="num_records must be positive"):
            session.run(tf.TextLineReader().read_up_to(queue, 0))
    with pytest.raises(ValueError, match='Not a valid compression_type: "XX"'):
        tf.TFRecordReader(options="XX")


def test_no_file_is_opened_after_the_session_is_closed(files):
    """By a step that took the name before; an open file would warn, which is an error here."""
    queue = FIFOQueue("q", "localhost", [tf.string], [()], 2)
    queue.enqueue([b"text"])
    reader = TextLineReader("r", "localhost", skip=0)
    reader.release()
    with pytest.raises(tf.errors.CancelledError, match="Read operation was cancelled"):
        reader.read(queue)
