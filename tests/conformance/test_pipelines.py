"""Files, readers, runners and batches: the same program under real TensorFlow and tfsession."""

import re
import zlib

import pytest

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning"),
]

PRELUDE = """
def core(error):
    text = getattr(error, "message", None) or str(error)
    if "\\nNode: '" in text:
        text = text.split("\\nNode: '")[-1].split("\\n", 1)[1]
    return type(error).__name__, text.split("\\n\\t [[")[0]


def err(f):
    try:
        return "ok", f()
    except Exception as error:
        return core(error)


def built(f):
    '''What a function builds, node by node, and what it adds to collections.'''
    with tf.Graph().as_default() as g:
        tf.set_random_seed(3)
        made = err(lambda: str(f()))
        nodes = [(n.name, n.op, list(n.input), n.device) for n in g.as_graph_def().node]
        keys = sorted(g.get_all_collection_keys())
        return made, nodes, [(key, len(g.get_collection(key))) for key in keys]


def read(reader, names, times, count=None):
    '''What a reader gives of files, and its counts.'''
    with tf.Graph().as_default():
        q, r = tf.FIFOQueue(99, tf.string, [[]]), reader()
        fetch = r.read(q) if count is None else r.read_up_to(q, count)
        counts = [r.num_records_produced(), r.num_work_units_completed()]
        with tf.Session(config=tf.ConfigProto(operation_timeout_in_ms=4000)) as s:
            s.run(q.enqueue_many([names]))
            s.run(q.close())
            found = [err(lambda: [v.tolist() if count else v for v in s.run(fetch)])
                     for _ in range(times)]
            if any(kind == "DataLossError" for kind, _ in found):
                # What follows differs by choice: there it comes again, here the next file.
                return found[: [kind for kind, _ in found].index("DataLossError") + 1]
            return found, [int(v) for v in s.run(counts)]


def everything(f):
    '''All that a pipeline gives, how it ended, and what joining its threads raised.'''
    with tf.Graph().as_default():
        fetches = f()
        with tf.Session() as s:
            s.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            coord, found = tf.train.Coordinator(), []
            threads = tf.train.start_queue_runners(s, coord)
            names = sorted(t.name for t in threads)
            try:
                while len(found) < 99:
                    found.append([v.tolist() for v in s.run(fetches)])
            except Exception as error:
                end = type(error).__name__
            coord.request_stop()
            return names, found, end, err(lambda: coord.join(threads))


def x(*shape, dtype=tf.float32):
    return tf.placeholder(dtype, shape)


def sp(*shape):
    return tf.sparse_placeholder(tf.float32, shape)


def example(**features):
    kinds = {bytes: ("bytes_list", "BytesList"), float: ("float_list", "FloatList"),
             int: ("int64_list", "Int64List")}
    made = {}
    for key, values in features.items():
        field, cls = kinds[type(values[0])]
        made[key] = tf.train.Feature(**{field: getattr(tf.train, cls)(value=values)})
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def parsed(texts, features, **kwargs):
    with tf.Graph().as_default(), tf.Session() as s:
        make = tf.parse_example if isinstance(texts, list) else tf.parse_single_example
        return err(lambda: str(s.run(make(texts, features, **kwargs))))


T, F = tf.train, tf.FixedLenFeature
LETTERS = bytes(range(65, 91))
"""

FILES = {
    "text": b"l1\nl\r2\r\nl3",
    "more": b"x\n\ny\n",
    "empty": b"",
    "letters": bytes(range(65, 91)),
    "packed": zlib.compress(bytes(range(65, 91))),
    "table": "".join(f"{i},{i / 2},n{i}\n" for i in range(10)).encode(),
    "bad": b"1,2,3\nx,2,3\n",
}

PROGRAMS = {
    "12.2": {
        "lines": 'out = read(tf.TextLineReader, ["text", "empty", "more"], 8)',
        "lines after a header":
            'out = read(lambda: tf.TextLineReader(skip_header_lines=2), ["text", "more"], 3)',
        "lines of a missing file": 'out = read(tf.TextLineReader, ["none", "more"], 3)',
        "whole files": 'out = read(tf.WholeFileReader, ["more", "empty"], 3)',
        "items": 'out = read(tf.IdentityReader, ["a", "b"], 3)',
        "records of one size":
            'out = read(lambda: tf.FixedLengthRecordReader(10), ["letters", "empty", "more"], 4)',
        "between header and footer":
            'out = read(lambda: tf.FixedLengthRecordReader(5, 2, 3), ["letters"], 5)',
        "that overlap":
            'out = read(lambda: tf.FixedLengthRecordReader(9, hop_bytes=8), ["letters"], 4)',
        "with gaps":
            'out = read(lambda: tf.FixedLengthRecordReader(5, 1, 3, hop_bytes=7), ["letters"], 4)',
        "compressed":
            'out = read(lambda: tf.FixedLengthRecordReader(5, 1, encoding="ZLIB"), ["packed"], 6)',
        "several lines": 'out = read(tf.TextLineReader, ["text", "empty", "more"], 5, 2)',
        "several items": 'out = read(tf.IdentityReader, ["a", "b"], 3, 2)',
        "several records":
            'out = read(lambda: tf.FixedLengthRecordReader(5), ["letters"] * 2, 5, 3)',
        "names": """
def make():
    q = tf.FIFOQueue(9, tf.string, [[]])
    for r in (tf.TextLineReader(), tf.WholeFileReader(name="w"), tf.IdentityReader(),
              tf.TFRecordReader(), tf.FixedLengthRecordReader(3), tf.TextLineReader(2, "n")):
        r.read(q), r.read_up_to(q, 3), r.num_records_produced(), r.num_work_units_completed()
        r.reset(), r.serialize_state(), r.restore_state("s"), r.read(q.queue_ref, name="r")
out = built(make)
""",
        "state": """
with tf.Graph().as_default(), tf.Session() as s:
    q, p, out = tf.FIFOQueue(9, tf.string, [[]]), tf.placeholder(tf.string, []), []
    for r in (tf.IdentityReader(), tf.WholeFileReader()):
        s.run(q.enqueue_many([["more", "empty", "more"]]))
        key, state = r.read(q)[0], r.serialize_state()
        n = r.num_records_produced(), r.num_work_units_completed()
        out += [r.supports_serialize, s.run(key), err(lambda: s.run(state)), s.run(key)]
        out += [err(lambda: s.run(r.restore_state(p), {p: out[2][1]})), err(lambda: s.run(n))]
        out += [s.run(r.reset()), err(lambda: s.run(n)), s.run(key)]
""",
        "parsed": """
one = example(a=[1, -2], b=[b"x"], c=[1.5])
two = example(a=[3, 4], b=[b""])
whole = {"a": F([2], tf.int64), "b": F([], tf.string), "c": tf.VarLenFeature(tf.float32)}
out = [parsed(one, whole), parsed([one, two], whole), parsed([two, two], whole),
       parsed(two, {"c": F([], tf.float32)}), parsed([one, two], {"c": F([], tf.float32)}),
       parsed([one, two], {"c": F([], tf.float32, 7)}), parsed(one, {"a": F([2], tf.float32)}),
       parsed([one], {"a": F([2], tf.float32)}, example_names=["n"]),
       parsed([one], {"a": tf.VarLenFeature(tf.string)}), parsed([one], {"a": F([3], tf.int64)}),
       parsed([one, two], {"a": tf.FixedLenSequenceFeature([3], tf.int64, True)}),
       parsed([one, two], {"c": tf.FixedLenSequenceFeature([], tf.float32, True, -1)}),
       parsed(b"", {"b": F([], tf.string, "d")}), parsed([b"junk" * 99], whole)]
""",
        "how features are described": """
made = [{}, None, {"a": 3}, {"a": F([None], tf.int64)}, {"a": F([1, None], tf.int64)},
        {"a": F(None, tf.int64)}, {"a": F([], None)},
        {"a": tf.FixedLenSequenceFeature([], tf.int64)}, {"a": tf.VarLenFeature(None)},
        {"a": F([2], tf.int64, [1])}, {"a": F([2], tf.int64, "x")}]
out = [err(lambda: tf.parse_example([""], f)) for f in made]
out += [err(lambda: tf.parse_single_example(t, f))
        for t in ("", [""]) for f in ({}, None, {"a": F([], tf.int64)})][:5]
""",
        "examples of unknown rank":
            'out = built(lambda: T and tf.parse_single_example(tf.placeholder(tf.string), '
            '{"z k": F([2], tf.int64, [1, 2]), "v": tf.VarLenFeature(tf.string)}, name="n"))',
    },
    "12.3": {
        "damage": """
import pathlib
with tf.python_io.TFRecordWriter("records") as w:
    for r in (b"abc", b"", b"x" * 50):
        w.write(r)
data, out = pathlib.Path("records").read_bytes(), []
flips = [data[:i] + bytes([data[i] ^ 1]) + data[i + 1:] for i in (0, 9, 13, 16, 19, 28, 34, 60)]
for text in (data, b"", *flips, data[:14], data[:17], data[:24], data[:-1], b"no record at all"):
    pathlib.Path("damaged").write_bytes(text)
    found = []
    end = err(lambda: found.extend(tf.python_io.tf_record_iterator("damaged")))
    out.append((text, found, end, read(tf.TFRecordReader, ["damaged"], 4)))
""",
        "compression": """
import pathlib
out = []
for kind in ("GZIP", "ZLIB"):
    options = tf.python_io.TFRecordOptions(getattr(tf.python_io.TFRecordCompressionType, kind))
    with tf.python_io.TFRecordWriter("records", options) as w:
        for r in (b"abc", b"", b"x" * 50):
            w.write(r)
    data = pathlib.Path("records").read_bytes()
    for text in (data, data * 2, data[:-3], data[:-6] + b"!" + data[-5:], b"plain" * 9, b""):
        pathlib.Path("damaged").write_bytes(text)
        found = []
        end = err(lambda: found.extend(tf.python_io.tf_record_iterator("damaged", options)))
        out.append((found, end, read(lambda: tf.TFRecordReader(options=options), ["damaged"], 7)))
""",
        "options": """
O, C = tf.python_io.TFRecordOptions, tf.python_io.TFRecordCompressionType
kinds = (None, "", "GZIP", C.NONE, C.ZLIB, O("ZLIB"), O(), "XX", 5)
out = [err(lambda: O.get_compression_type_string(k)) for k in kinds]
out += [sorted(O(C.GZIP, compression_level=3).__dict__.items()), err(lambda: O("XX"))]
""",
        "a writer that is closed": """
w = tf.python_io.TFRecordWriter("w")
w.write(b"x"), w.flush(), w.close()
out = [err(f) for f in (w.close, w.flush, lambda: w.write(b"x"),
                        lambda: tf.python_io.TFRecordWriter("none/w"),
                        lambda: list(tf.python_io.tf_record_iterator("none")),
                        lambda: list(tf.python_io.tf_record_iterator(".")))]
""",
        "files": """
with tf.Session() as s:
    out = [err(lambda: s.run(op)) for op in (
        tf.read_file("more"), tf.read_file("none"), tf.read_file("."), tf.write_file("a/b/c", "d"),
        tf.read_file("a/b/c"), tf.write_file(".", ""))]
    patterns = ("m*", ["t*", "te*"], "none*", "[ab]*", "")
    out += [s.run(tf.matching_files(p)).tolist() for p in patterns]
    names = tf.train.match_filenames_once("m*")
    s.run(tf.local_variables_initializer())
    out += [str(names), s.run(names).tolist()]
out += [built(lambda: tf.train.match_filenames_once("*", name="n"))]
""",
    },
    "12.4": {
        name: f"out = built(lambda: {text})"
        for name, text in {
            "names": 'T.string_input_producer(["a", "b"]).dequeue()',
            "names twice, in order":
                'T.string_input_producer(["a"], num_epochs=2, shuffle=False, name="n").dequeue()',
            "names that are found":
                'T.string_input_producer(T.match_filenames_once("*")).dequeue()',
            "no names": "T.string_input_producer([])",
            "rows": 'T.input_producer([[1, 2], [3, 4]], capacity=5, summary_name="s").dequeue()',
            "rows of unknown shape": "T.input_producer(tf.placeholder(tf.int32))",
            "numbers": "T.range_input_producer(5, num_epochs=3).dequeue()",
            "slices": 'T.slice_input_producer([tf.zeros([3, 2]), ["a", "b", "c"]], seed=4)',
            "slices once": 'T.slice_input_producer([[1, 2, 3]], num_epochs=1, name="q")',
            "no slices": "T.slice_input_producer([])",
            "no epoch": "T.limit_epochs(tf.constant(1), 0)",
            "batch": "T.batch([x(2), x()], 4)",
            "batch with all settings":
                'T.batch([x(2)], 4, 3, allow_smaller_final_batch=True, name="b", shared_name="s")',
            "batch of a dict": 'sorted(T.batch({"z": x(2), "a": x()}, 4).items())',
            "batch of rows": "T.batch([x(None, 2)], 4, enqueue_many=True)",
            "padded batch": "T.batch([x(None)], 4, dynamic_pad=True)",
            "batch of given shapes": "T.batch([tf.placeholder(tf.float32)], 4, shapes=[[2]])",
            "batch of unknown rank": "T.batch([tf.placeholder(tf.float32, name='p')], 4)",
            "batch of unknown shape": "T.batch([x(None)], 4)",
            "batch of nothing": "T.batch([], 4)",
            "batch of a size that is fed": "T.batch([1.0], x(dtype=tf.int32))",
            "joined": "T.batch_join([[x(2)], [x(2)]], 4)",
            "joined dicts": 'T.batch_join([{"a": x(2)}, {"a": x(2)}], 4)["a"]',
            "joined shapes": "T.batch_join([[x(2)], [x(3)]], 4)",
            "joined types": "T.batch_join([[x(2)], [tf.constant([1, 2])]], 4)",
            "joined keys": 'T.batch_join([{"a": x(2)}, {"b": x(2)}], 4)',
            "shuffled": "T.shuffle_batch([x(2)], 4, 100, 10, num_threads=2)",
            "shuffled with a seed": "T.shuffle_batch([x(2), x()], 4, 100, 10, seed=5)",
            "shuffled without room": "T.shuffle_batch([x(2)], 4, 10, 10)",
            "shuffled and joined": "T.shuffle_batch_join([[x(2)], [x(2)]], 4, 100, 10)",
            "none kept": "T.maybe_batch([x(2)], False, 4)",
            "some kept": "T.maybe_batch([x(2)], x(dtype=tf.bool), 4)",
            "some rows kept": "T.maybe_batch([x(3, 2)], x(3, dtype=tf.bool), 4, enqueue_many=True)",
            "rows of one kept": "T.maybe_batch([x(3, 2)], x(3, dtype=tf.bool), 4)",
            "sparse": "T.batch([sp(2, 3)], 4)",
            "sparse and others": 'sorted(T.batch({"a": sp(2), "b": x(2)}, 4).items())',
            "rows of sparse ones": "T.batch([sp(None, 2), x(None)], 4, enqueue_many=True)",
            "joined sparse ones": "T.shuffle_batch_join([[sp(2)], [sp(3)]], 4, 20, 2)",
            "some sparse ones": "T.maybe_batch([sp(2)], x(dtype=tf.bool), 4)",
            "some sparse rows":
                "T.maybe_batch([sp(9, 2)], x(9, dtype=tf.bool), 4, enqueue_many=True)",
            "sparse rows or none":
                "T.maybe_batch([sp(9, 2)], x(dtype=tf.bool), 4, enqueue_many=True)",
            "some kept and shuffled": "T.maybe_shuffle_batch([x(2)], 4, 20, 2, x(dtype=tf.bool))",
        }.items()
    }
    | {
        "a table": """
def rows(name, **kwargs):
    _, line = tf.TextLineReader().read(T.string_input_producer([name], 1, False))
    return T.batch(tf.decode_csv(line, [[0], [0.0], [""]]), 4, **kwargs)
out = [everything(f) for f in (
    lambda: rows("table"), lambda: rows("table", allow_smaller_final_batch=True),
    lambda: rows("bad"), lambda: rows("none"), lambda: rows("empty"))]
""",
        "sparse pipelines": """
some = [{"a": [1] * (i % 3), "b": [b"x%d" % i] * (i % 4), "c": [float(i)]} for i in range(11)]
texts = [example(**{k: v for k, v in each.items() if v}) for each in some]
features = {"a": tf.VarLenFeature(tf.int64), "b": tf.VarLenFeature(tf.string),
            "c": F([], tf.float32)}
def parts(batch):
    batch = batch if isinstance(batch, dict) else {"": batch}
    return [t for key in sorted(batch) for v in [batch[key]]
            for t in ([v.indices, v.values, v.dense_shape] if hasattr(v, "indices") else [v])]
def one():
    return tf.parse_single_example(T.input_producer(texts, num_epochs=1, shuffle=False).dequeue(),
                                   features)
def many():
    text = T.input_producer(texts, num_epochs=1, shuffle=False).dequeue_up_to(4)
    return tf.parse_example(text, features)
def odd(features):
    return tf.not_equal(tf.cast(features["c"], tf.int32) % 2, 0)
out = [everything(f) for f in (
    lambda: parts(T.batch(one(), 3)),
    lambda: parts(T.batch(one(), 3, allow_smaller_final_batch=True)),
    lambda: parts(T.batch(many(), 3, enqueue_many=True)),
    lambda: parts(T.batch({"a": one()["a"]}, 3)))]
def kept(make, many):
    features = make()
    return parts(T.maybe_batch(features, odd(features), 3, enqueue_many=many))
out += [everything(lambda: kept(one, False)), everything(lambda: kept(many, True))]
""",
        "other pipelines": """
def number(limit):
    return T.range_input_producer(limit, 1, False).dequeue()
out = [everything(f) for f in (
    lambda: T.batch(T.slice_input_producer([[1, 2, 3], ["a", "b", "c"]], 2, seed=5), 2),
    lambda: [T.batch([tf.range(number(4))], 2, dynamic_pad=True)],
    lambda: [T.maybe_batch([number(9)], tf.equal(number(9) % 2, 0), 2)],
    lambda: [T.string_input_producer(tf.constant([], tf.string)).dequeue()])]
""",
        "a runner and its message": """
with tf.Graph().as_default():
    with tf.name_scope("s"):
        q = tf.FIFOQueue(3, tf.int32, [[]], name="q")
        r = T.QueueRunner(q, [q.enqueue(1)] * 2)
    T.add_queue_runner(r)
    closed = "queue_closed_exception_types"
    out = [str(r.to_proto()), str(r.to_proto("s")), r.to_proto("t"), r.name,
           [t.__name__ for t in getattr(r, closed)],
           [t.name for t in r.create_threads(tf.Session())],
           [op.name for op in T.QueueRunner.from_proto(r.to_proto()).enqueue_ops]]
    out += [err(lambda: T.QueueRunner(*a, **k)) for a, k in (
        ((), {}), ((q,), {}), ((q, [q.enqueue(2)]), {closed: [ValueError]}))]
    out += [err(lambda: T.start_queue_runners()), err(lambda: T.start_queue_runners(3))]
""",
        "a coordinator": """
end, bad = tf.errors.OutOfRangeError(None, None, "over"), ValueError("bad")
out = []
for first, second in ((end, bad), (bad, end), (None, bad), (bad, KeyError("k"))):
    c = T.Coordinator()
    for e in (first, second):
        try:
            if e is not None:
                raise e
            c.request_stop()
        except Exception as caught:
            c.request_stop(caught)
    out += [c.should_stop(), err(c.raise_requested_exception), err(c.join), c.joined,
            err(lambda: c.request_stop())]
    c.clear_stop()
    out += [c.should_stop(), c.joined, err(c.join), c.wait_for_stop(0.01)]
c = T.Coordinator(clean_stop_exception_types=())
with c.stop_on_exception():
    raise end
out += [err(c.join), err(lambda: T.LooperThread(None, 1)),
        err(lambda: T.LooperThread(T.Coordinator(), 1, args=[1]))]
""",
    },
}  # fmt: skip

_UNNAMED = re.compile(r"\b_\d+_(?=\w)")


def _plain(value):
    """Without the numbers of queues, which real TensorFlow counts in the process."""
    if isinstance(value, str):
        return _UNNAMED.sub("_0_", value)
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value


@pytest.mark.rows("program", PROGRAMS)
def test_a_program_has_the_same_outcome(program, outcomes, tmp_path, monkeypatch):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    real, ours = outcomes(PRELUDE, program)
    assert real[0] != "raised", real  # it would compare no more than that
    assert _plain(ours) == _plain(real)
