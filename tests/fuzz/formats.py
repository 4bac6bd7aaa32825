"""What is fuzzed: for each format a sample, how it is changed, and who reads what came of it."""

import importlib.util
import signal
import struct
import tempfile
from functools import cache
from pathlib import Path

import mutations
import numpy as np
import weights

import tfsession as tf
from tfsession.checkpoint import table
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.bundle_writer import BundleWriter
from tfsession.checkpoint.reader import open_checkpoint
from tfsession.checkpoint.saved_slices import SlicesReader, SlicesWriter
from tfsession.core import dtypes, protos
from tfsession.core.crc32c import masked_crc32c
from tfsession.core.graph_file import read_graph
from tfsession.core.records import Compression, RecordReader, RecordWriter
from tfsession.core.tensor_parts import parse_part, whole
from tfsession.ops.defun import Defun
from tfsession.train.saved_model import read_saved_model

OPS = Path(__file__).parents[1] / "ops"
# Larger graphs hide a change: most of it is not where something may go wrong.
MOST_BYTES = 20_000
RUN_SECONDS = 5.0
TENSORS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b/c": np.array(5, np.int32),
    "flags": np.array([True, False]),
    "texts": np.array([b"x", b"", b"y" * 300], object),
}


# --- graphs of the tests' own rows ----------------------------------------------------------------


@cache
def rows():
    """All rows of the tests of ops, with one dtype each."""
    found = []
    for path in sorted(OPS.glob("test_*.py")):
        spec = importlib.util.spec_from_file_location(f"fuzz_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for row in getattr(module, "ROWS", ()):
            found += [(row, dtype) for dtype in (row.dtypes[0], row.dtypes[-1])]
    return found


@cache
def graph_of(number, is_open):
    """The GraphDef of a row, its inputs constants, or `is_open` ones of unknown shape."""
    row, dtype = rows()[number]
    arrays = row.arrays(dtype)
    with tf.Graph().as_default() as graph:
        tensors = []
        for index, array in enumerate(arrays):
            tensor = tf.constant(array)
            if is_open and index not in row.constants:
                tensor = tf.placeholder_with_default(tensor, None)
            tensors.append(tensor)
        try:
            row.builder(tf)(*tensors)
        except (ValueError, TypeError):  # it needs a shape
            return None
    message = graph.as_graph_def()
    return message if message.ByteSize() < MOST_BYTES else None


def _functions():
    @Defun(tf.float32, tf.float32)
    def product(a, b):
        return a * b + 1.0

    x = tf.constant([1.0, 2.0])
    y = product(x, product(x, x))
    tf.gradients(y, x)


def _lowered():
    tf.enable_control_flow_v2()
    try:
        x = tf.placeholder_with_default(tf.constant(2.0), [])
        tf.cond(x > 1.0, lambda: x + 1.0, lambda: x * 2.0)
        y = tf.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * x), [0, x])[1]
        tf.gradients(y, x)
    finally:
        tf.disable_control_flow_v2()


def _loops():
    x = tf.placeholder_with_default(tf.ones([4, 2]), [None, 2])
    y = tf.map_fn(lambda row: row * 2.0, x)
    tf.cond(tf.reduce_sum(y) > 0.0, lambda: y, lambda: -y)
    tf.nn.dynamic_rnn(tf.nn.rnn_cell.BasicRNNCell(2), x[tf.newaxis], dtype=tf.float32)
    tf.gradients(y, x)


def _pipeline():
    numbers = tf.data.Dataset.range(6).map(lambda i: (i, i * 2)).filter(lambda i, _: i > 0)
    batches = numbers.shuffle(3, 1).repeat(2).batch(2)
    tf.data.make_one_shot_iterator(batches).get_next()


def _queues():
    queue = tf.FIFOQueue(4, [tf.int32, tf.string], [[], []])
    with tf.control_dependencies([queue.enqueue([1, "a"])]):
        queue.dequeue()
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(["a", "b"], tf.constant([1, 2], tf.int64)), -1
    )
    with tf.control_dependencies([table.initializer]):
        table.lookup(tf.constant(["a", "c"]))


def _variables():
    v = tf.get_variable("v", initializer=[1.0, 2.0])
    r = tf.get_variable("r", initializer=[1.0, 2.0], use_resource=True)
    with (
        tf.control_dependencies([v.initializer, r.initializer]),
        tf.control_dependencies([tf.assign_add(v, [1.0, 1.0]), r.assign_add([1.0, 1.0])]),
    ):
        tf.concat([v.read_value(), r.read_value(), tf.gather(r, [0])], 0)


PROGRAMS = (_functions, _lowered, _loops, _pipeline, _queues, _variables)


@cache
def graph_of_program(number):
    """The GraphDef of a small program."""
    with tf.Graph().as_default() as graph:
        PROGRAMS[number]()
    return graph.as_graph_def()


def some_graph(rng):
    """A GraphDef to change."""
    if rng.random() < 0.15:
        return graph_of_program(rng.randrange(len(PROGRAMS)))
    while True:
        message = graph_of(rng.randrange(len(rows())), rng.random() < 0.5)
        if message is not None:
            return message


@cache
def model():
    """A MetaGraphDef with variables, a loop, a branch, a function, a table and a Saver."""
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, 2], name="x")
        w = tf.get_variable("w", [2, 3], initializer=tf.ones_initializer())
        r = tf.get_variable("r", [3], use_resource=True, initializer=tf.zeros_initializer())
        y = tf.nn.relu(tf.matmul(x, w) + r, name="y")
        loop = tf.while_loop(lambda i, _: i < 3, lambda i, v: [i + 1, v * 2.0], [0, y])
        tf.cond(tf.reduce_sum(loop[1]) > 0, lambda: y + 1.0, lambda: y)
        tf.add_to_collection("names", "text")
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(y))
        step = tf.train.get_or_create_global_step()
        tf.summary.scalar("step", step)
        saver = tf.train.Saver()
        message = saver.export_meta_graph()
    message.signature_def["serving_default"].inputs["x"].name = "x:0"
    message.meta_info_def.tags.append("serve")
    return message


# --- who reads ------------------------------------------------------------------------------------


def _import(message):
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(message, name="")
        graph.as_graph_def(add_shapes=True)
    return graph


def _run(message):
    graph = _import(message)
    options = tf.RunOptions(timeout_in_ms=300)
    read = {t.op for op in graph.get_operations() for t in op.inputs}
    ends = [op for op in graph.get_operations() if op not in read]
    if ends:
        # A step may be as large as its memory lets it: a second is for reading.
        signal.setitimer(signal.ITIMER_PROF, RUN_SECONDS)
        with tf.Session(graph=graph) as session:
            session.run(ends, options=options)


def _read_file(data, suffix, read):
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        return read(file.name)


def graph_binary(rng):
    """A GraphDef's bytes."""
    data = some_graph(rng).SerializeToString(deterministic=True)
    data = mutations.changed_bytes(rng, data)
    return lambda: _import(_read_file(data, ".pb", read_graph).graph_def)


def graph_text(rng):
    """A GraphDef's text."""
    data = protos.text_format.MessageToString(some_graph(rng)).encode()
    data = mutations.changed_bytes(rng, data)
    return lambda: _import(_read_file(data, ".pbtxt", read_graph).graph_def)


def graph(rng):
    """A GraphDef that is imported, and run."""
    message = mutations.changed_graph(rng, some_graph(rng))
    return lambda: _run(message)


def meta_graph(rng):
    """A MetaGraphDef in a file."""
    message = protos.MetaGraphDef.FromString(model().SerializeToString())
    match rng.randrange(4):
        case 0:
            message.graph_def.CopyFrom(mutations.changed_graph(rng, message.graph_def))
        case 1:
            message = mutations.changed_message(rng, message)
        case _:
            # Nodes are most of it, and have their turn above.
            for _ in range(rng.choice((1, 2))):
                parts = [message.saver_def, message.meta_info_def, *message.collection_def.values()]
                part = rng.choice([m for p in parts for m in mutations.messages_in(p)])
                mutations.change_field(rng, part)
    data = message.SerializeToString()
    if rng.random() < 0.3:
        data = mutations.changed_bytes(rng, data)

    def read():
        with tf.Graph().as_default(), tf.Session() as session:
            saver = _read_file(data, ".meta", tf.train.import_meta_graph)
            session.run(tf.global_variables_initializer())
            if saver is not None:
                saver.export_meta_graph()

    return read


def saved_model(rng):
    """A SavedModel's file, and its variables."""
    message = protos.SavedModel(saved_model_schema_version=1)
    message.meta_graphs.append(model())
    if rng.random() < 0.7:
        message = mutations.changed_message(rng, message)
    data = message.SerializeToString()
    if rng.random() < 0.3:
        data = mutations.changed_bytes(rng, data)

    def read():
        with tempfile.TemporaryDirectory() as directory, tf.Graph().as_default():
            (Path(directory) / "saved_model.pb").write_bytes(data)
            read_saved_model(directory)
            with tf.Session() as session:
                tf.saved_model.load(session, ["serve"], directory)

    return read


def _read_all(reader):
    for name in reader.names():
        reader.entry(name)
        reader.read(name)


def _files_of(write):
    with tempfile.TemporaryDirectory() as directory:
        write(f"{directory}/m")
        return {path.name: path.read_bytes() for path in sorted(Path(directory).iterdir())}


def _write_bundle(prefix):
    with BundleWriter(prefix) as writer:
        for name, array in TENSORS.items():
            writer.add(name, array, dtypes.as_dtype(array.dtype))
        writer.add_part("p", parse_part("4 2 0,3:-"), np.ones((3, 2)), dtypes.float64)
        writer.add_part("p", parse_part("4 2 3,1:-"), np.ones((1, 2)), dtypes.float64)
        writer.finish()


def _write_slices(name):
    writer = SlicesWriter(name)
    for key, array in TENSORS.items():
        writer.add(key, whole(array.shape), array, dtypes.as_dtype(array.dtype))
    writer.add("p", parse_part("4 2 0,3:-"), np.ones((3, 2)), dtypes.float64)
    writer.add("p", parse_part("4 2 3,1:-"), np.ones((1, 2)), dtypes.float64)
    writer.finish()


@cache
def samples():
    """The files of a checkpoint of each format."""
    return _files_of(_write_bundle), _files_of(_write_slices)


def _changed_table(rng, data, kind_of):
    """A table's file with changed messages, or with changed blocks whose checksums are right."""
    if rng.random() < 0.4:
        return mutations.changed_bytes(rng, data)
    rows = dict(table.decode_table(data))
    if rng.random() < 0.6:
        for _ in range(rng.choice((1, 1, 2))):
            key = rng.choice(sorted(rows))
            message = kind_of(key).FromString(rows[key])
            rows[key] = mutations.changed_message(rng, message).SerializeToString()
        if rng.random() < 0.2:
            key = rng.choice(sorted(rows))
            rows[mutations.changed_bytes(rng, key)] = rows.pop(key)
        return table.encode_table(sorted(rows.items()))
    made = table._Block(16)
    for key, value in sorted(rows.items()):
        made.add(key, value)
    content = made.finished()[: -table._TRAILER.size]
    kind = rng.choice((0, 0, 0, 1))
    blocks = b""
    handles = []
    for part in (mutations.changed_bytes(rng, content), table._Block(16).finished()[:-5]):
        handles.append((len(blocks), len(part)))
        part += bytes([kind if not handles[:-1] else 0])
        blocks += part + struct.pack("<I", masked_crc32c(part))
    index = table._Block(1)
    index.add(b"\xff", b"".join(map(table.varint.encode, handles[0])))
    handles.append((len(blocks), len(index.finished()) - 5))
    footer = b"".join(table.varint.encode(n) for handle in handles[1:] for n in handle)
    footer = footer.ljust(40, b"\0") + struct.pack("<Q", table._MAGIC)
    return blocks + index.finished() + footer


def checkpoint_v2(rng):
    """An index and a data file."""
    files = dict(samples()[0])
    if rng.random() < 0.25:
        name = "m.data-00000-of-00001"
        files[name] = mutations.changed_bytes(rng, files[name])
    else:
        files["m.index"] = _changed_table(
            rng, files["m.index"],
            lambda key: protos.BundleEntryProto if key else protos.BundleHeaderProto,
        )  # fmt: skip

    def read():
        with tempfile.TemporaryDirectory() as directory:
            for name, data in files.items():
                (Path(directory) / name).write_bytes(data)
            _read_all(BundleReader(f"{directory}/m"))

    return read


def checkpoint_v1(rng):
    """A table."""
    data = _changed_table(rng, samples()[1]["m"], lambda key: protos.SavedTensorSlices)
    return lambda: _read_file(data, "", lambda name: _read_all(SlicesReader(name)))


def state_file(rng):
    """The file that names a directory's checkpoints, and the checkpoints' reader."""
    text = b'model_checkpoint_path: "m"\nall_model_checkpoint_paths: "m"\n'
    data = mutations.changed_bytes(rng, text)

    def read():
        with tempfile.TemporaryDirectory() as directory:
            (Path(directory) / "checkpoint").write_bytes(data)
            found = tf.train.latest_checkpoint(directory)
            if found:
                open_checkpoint(found)

    return read


@cache
def _events(kind):
    with tempfile.NamedTemporaryFile() as file:
        with RecordWriter(file.name, Compression(kind)) as writer:
            for step in range(4):
                summary = tf.Summary(value=[tf.Summary.Value(tag="loss", simple_value=step)])
                event = tf.Event(wall_time=1.0, step=step, summary=summary)
                writer.write(event.SerializeToString())
        return Path(file.name).read_bytes()


def records(rng):
    """Events, or records of any kind, compressed or not."""
    kind = rng.choice(("", "", "GZIP", "ZLIB"))
    data = _events(kind)
    if not kind and rng.random() < 0.4:
        event = tf.Event(step=1, summary=tf.Summary(value=[tf.Summary.Value(tag="loss")]))
        message = mutations.changed_message(rng, event)
        record = mutations.changed_bytes(rng, message.SerializeToString() or b"\0")
        claimed = rng.choice((len(record), len(record), *map(abs, mutations.INTEGERS)))
        length = struct.pack("<Q", claimed & (1 << 64) - 1)
        crcs = (struct.pack("<I", masked_crc32c(part)) for part in (length, record))
        data += length + next(crcs) + record + next(crcs)
    else:
        data = mutations.changed_bytes(rng, data)

    def read(name):
        with RecordReader(name, kind) as reader:
            for _ in reader:
                pass
        if not kind:
            for event in tf.train.summary_iterator(name):
                str(event)

    return lambda: _read_file(data, "", read)


# How often each has its turn: those that take long less often.
TURNS = {
    graph: 8,
    graph_binary: 6,
    graph_text: 2,
    meta_graph: 1,
    saved_model: 1,
    checkpoint_v2: 8,
    checkpoint_v1: 6,
    state_file: 1,
    records: 7,
    weights.safetensors: 4,
    weights.npz: 4,
    weights.external: 2,
    weights.imported: 2,
}
FORMATS = {change.__name__: change for change in TURNS}
