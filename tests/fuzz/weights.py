"""Files of weights in other libraries' formats, and graphs whose constants lie in such files."""

import copy
import io
import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path

import mutations
import numpy as np

import tfsession as tf
from tfsession.checkpoint.npz import NpzReader
from tfsession.checkpoint.reader import open_checkpoint
from tfsession.checkpoint.safetensors import SafetensorsReader, write_safetensors
from tfsession.checkpoint.weights import KeptWeights
from tfsession.core import dtypes, protos
from tfsession.graph import external_value

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b/c": np.array(5, np.int32),
    "flags": np.array([True, False]),
    "none": np.zeros((0, 3), np.float64),
}
LARGE = np.arange(512, dtype=np.float32)
# What may stand in a header for a value in it.
_PARTS = (
    *(None, True, -1, 0, 1, 1.5, 1e999, "", "x", [], {}, [[]], [1, 2], [0, 1 << 62, 8], {"a": []}),
    *("F32", "BF16", "F64", "I8", "BOOL", "C64", "U9", "__metadata__"),
)
_NPY_PARTS = (
    *("'<f4'", "'>f4'", "'<f8'", "'|O'", "'<U3'", "'|S4'", "'<V4'", "'<M8[s]'", "'|b1'", "'<c16'"),
    *(
        "[('a', '<f4')]",
        "('<f4', (2,))",
        "True",
        "False",
        "1",
        "-1",
        "()",
        "(2,)",
        "(2, 3)",
        "(6,)",
    ),
    *(
        "(0, 3)",
        "(-1, 6)",
        "(2.0, 3)",
        "(True, 6)",
        "None",
        "{}",
        "[" * 500,
        "-" * 5000,
        "9" * 5000,
    ),
    *(
        f"({1 << 40}, 2)",
        f"(0, {1 << 62}, 8)",
        f"({1 << 31},)",
        "(1,) * 9",
        "1j",
        "b''",
        "...",
        "x",
    ),
)


def _files_of(write):
    with tempfile.TemporaryDirectory() as directory:
        write(directory)
        return {path.name: path.read_bytes() for path in sorted(Path(directory).iterdir())}


def _read_all(reader):
    for name in reader.names():
        entry = reader.entry(name)
        array = reader.read(name)
        assert array.shape == tuple(entry.shape)
        assert dtypes.as_dtype(array.dtype) is entry.dtype


def _read_file(data, read):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        return read(file.name)


# --- safetensors ----------------------------------------------------------------------------------


@cache
def _safetensors():
    texts = {"format": "np"}
    weights = KeptWeights(ARRAYS)
    return _files_of(lambda d: write_safetensors(f"{d}/m", weights, texts))["m"]


def _holders(value):
    """All lists and objects within a value of JSON."""
    found = [value]
    for one in found:
        inner = one.values() if isinstance(one, dict) else one
        found.extend(part for part in inner if isinstance(part, list | dict))
    return found


def _change_json(rng, value):
    """Change, take away or add one part of a list or an object within it."""
    holder = rng.choice(_holders(value))
    places = list(holder) if isinstance(holder, dict) else range(len(holder))
    parts = (_PARTS, mutations.INTEGERS, mutations.SIZES)
    part = copy.deepcopy(rng.choice(rng.choice(parts)))
    if not places or rng.random() < 0.1:
        if isinstance(holder, dict):
            holder[rng.choice(mutations.TEXTS)] = part
        else:
            holder.append(part)
    elif rng.random() < 0.15:
        del holder[rng.choice(places)]
    else:
        holder[rng.choice(places)] = part


def safetensors(rng):
    """A header that says other things, or other bytes."""
    data = _safetensors()
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.4:
        data = mutations.changed_bytes(rng, data)
    else:
        header = json.loads(data[8 : 8 + length])
        for _ in range(rng.choice((1, 1, 2, 3))):
            _change_json(rng, header)
        text = json.dumps(header).encode()
        if rng.random() < 0.3:
            text = mutations.changed_bytes(rng, text)
        data = len(text).to_bytes(8, "little") + text + data[8 + length :]

    def read(name):
        SafetensorsReader(name).metadata.get("format")
        _read_all(open_checkpoint(name))

    return lambda: _read_file(data, read)


# --- npz ------------------------------------------------------------------------------------------


@cache
def _npy():
    found = {}
    for name, array in {**ARRAYS, "turned": np.asfortranarray(ARRAYS["a"])}.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, array)
        found[f"{name}.npy"] = file.getvalue()
    return found


def _zipped(members, kind):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, kind)
    return file.getvalue()


@cache
def _npz(kind):
    return _zipped(_npy(), kind)


def _changed_npy(rng, data):
    """An .npy file with another header, of the length that it says."""
    length = int.from_bytes(data[8:10], "little")
    text = data[10 : 10 + length].decode()
    for _ in range(rng.choice((1, 1, 2))):
        key = rng.choice(("'descr': ", "'fortran_order': ", "'shape': "))
        before, _, rest = text.partition(key)
        after = rest[rest.find(", '") :] if ", '" in rest else ", }\n"
        text = before + rng.choice((key, key, key, "", "'x': ")) + rng.choice(_NPY_PARTS) + after
    header = text.encode()
    if rng.random() < 0.2:
        header = mutations.changed_bytes(rng, header)
    version = rng.choice((1, 1, 1, 2, 3, 0, 9))
    size = len(header).to_bytes(2 if version == 1 else 4, "little")
    return data[:6] + bytes([version, 0]) + size + header + data[10 + length :]


def _claiming(rng, kind):
    """A zip file whose directory and whose array agree on a size that is not there."""
    file = io.BytesIO()
    np.lib.format.write_array(file, ARRAYS["a"])
    count = rng.choice([n for n in mutations.SIZES if 0 < n < 1 << 30])
    plain = file.getvalue()
    array = plain.replace(b"(2, 3), }", b"(%d,), }" % count)
    data = _zipped({"a.npy": array}, kind)
    claimed = (len(array) - 24 + 4 * count) & (1 << 32) - 1
    return data.replace(len(array).to_bytes(4, "little"), claimed.to_bytes(4, "little"))


def npz(rng):
    """A zip file of changed arrays, or a changed zip file."""
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    if rng.random() < 0.4:
        data = mutations.changed_bytes(rng, _npz(kind))
    elif rng.random() < 0.15:
        data = _claiming(rng, kind)
    else:
        members = dict(_npy())
        name = rng.choice(sorted(members))
        change = rng.choice((_changed_npy, _changed_npy, mutations.changed_bytes))
        members[name] = change(rng, members[name])
        if rng.random() < 0.1:
            members[rng.choice((*mutations.TEXTS, "../a.npy", "/a.npy"))] = members.pop(name)
        data = _zipped(members, kind)
        if rng.random() < 0.2:
            data = mutations.changed_bytes(rng, data)

    def read(name):
        _read_all(NpzReader(name))
        _read_all(open_checkpoint(name))

    return lambda: _read_file(data, read)


# --- constants in other files ---------------------------------------------------------------------


@cache
def _graph_files(file):
    with tf.Graph().as_default() as graph:
        tf.add(tf.constant(LARGE, name="large"), tf.constant(LARGE, name="other"), name="sum")
    return _files_of(lambda d: tf.train.export_graph(f"{d}/g.pb", graph, file))


def external(rng):
    """A graph that has its constants elsewhere, and the file that holds them."""
    files = dict(_graph_files(rng.choice(("w.safetensors", "w.safetensors", "w"))))
    if rng.random() < 0.4:
        name = rng.choice([name for name in files if name != "g.pb"])
        files[name] = mutations.changed_bytes(rng, files[name])
    elif rng.random() < 0.3:
        files["g.pb"] = mutations.changed_bytes(rng, files["g.pb"])
    else:
        message = protos.GraphDef.FromString(files["g.pb"])
        for _ in range(rng.choice((1, 1, 2))):
            node = rng.choice([n for n in message.node if n.op == "Const"])
            key = rng.choice(
                (external_value.FILE, external_value.SHAPE, external_value.CRC, "dtype")
            )
            mutations.change_field(rng, rng.choice(mutations.messages_in(node.attr[key])))
        files["g.pb"] = message.SerializeToString()

    def read():
        with tempfile.TemporaryDirectory() as directory, tf.Graph().as_default() as graph:
            for name, data in files.items():
                (Path(directory) / name).write_bytes(data)
            tf.train.import_graph(f"{directory}/g.pb", name="")
            with tf.Session() as session:
                session.run(graph.get_operations())

    return read


@cache
def _variables():
    with tf.Graph().as_default() as graph:
        for name, array in ARRAYS.items():
            use_resource = name == "a"
            tf.get_variable(name, initializer=array, use_resource=use_resource)
        session = tf.Session(graph=graph)
        session.run(tf.global_variables_initializer())
    return session


def imported(rng):
    """Weights for variables: all of them change, or none."""
    data = rng.choice((_safetensors(), _npz(zipfile.ZIP_STORED)))
    data = mutations.changed_bytes(rng, data)

    def read():
        session = _variables()
        with session.graph.as_default():
            variables = tf.global_variables()
        before = session.run(variables)
        try:
            _read_file(data, lambda name: tf.train.import_weights(session, name))
        except Exception:
            for old, new in zip(before, session.run(variables), strict=True):
                assert old.tobytes() == new.tobytes()
            raise

    return read
