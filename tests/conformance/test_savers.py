"""Checkpoints and graph files of real TensorFlow and of tfsession, each opened by the other."""

import os
from pathlib import Path

import numpy as np
import pytest

import tfsession
from tfsession.core import protos
from tfsession.graph.create import create_op

pytestmark = pytest.mark.oracle

SHAPES = [(), (3,), (2, 3), (0,), (2, 0, 3)]
NAMES = [
    *[
        "float32",
        "float64",
        "int32",
        "uint8",
        "int16",
        "int8",
        "complex64",
        "int64",
        "bool",
        "uint16",
        "complex128",
    ],
    *[
        "float16",
        "bfloat16",
        "uint32",
        "uint64",
        "string",
        "float8_e5m2",
        "float8_e4m3fn",
        "int4",
        "uint4",
        "float8_e4m3fnuz",
        "float8_e4m3b11fnuz",
        "float8_e5m2fnuz",
        "int2",
        "uint2",
        "float4_e2m1fn",
    ],
]
# What TensorFlow writes in the first format.
FIRST_FORMAT = [*NAMES[:12], "string"]
# What TensorFlow's reader of files does not know; the bytes are compared.
UNREADABLE = {
    "SaveV2": ("float8", "float4", "int4", "uint4", "int2", "uint2"),
    "SaveSlices": ("complex", "uint16", "float16"),
}
PARTS = [("10 3 0,4:-", 4), ("10 3 4,3:0,3", 3), ("10 3 7,3:-", 3)]


def _values(name, shape):
    count = int(np.prod(shape))
    if name == "string":
        flat = np.array([b"t" * (7 * i % 300) for i in range(count)] + [None], object)[:-1]
        return flat.reshape(shape)
    numbers = np.random.default_rng(5).normal(size=count) * 50 + 60
    numbers = numbers % 7 if "int4" in name else numbers
    numbers = numbers % 2 if "int2" in name else numbers
    return numbers.reshape(shape).astype(tfsession.as_dtype(name).numpy)


def _tensors(names):
    """Names, specifications and arrays: each dtype and shape, parts, and many names."""
    found = [
        (f"{name}/{len(shape)}_{sum(shape)}", "", _values(name, shape))
        for name in names
        for shape in SHAPES
    ]
    if names is NAMES:  # the first format lists parts in an order of memory addresses
        found += [("p", spec, np.full((rows, 3), rows, np.float32)) for spec, rows in PARTS]
    found += [(f"net/layer_{i}/kernel", "", np.float32(i)) for i in range(2500)]
    return found


def _save(tf, directory, op, names):
    """Save by an operation of either library; the files' content by name."""
    items = _tensors(names)
    keys, specs = [item[0] for item in items], [item[1] for item in items]
    with tf.Graph().as_default(), tf.Session() as session:
        # Fed, not constants: a graph of thousands of them is slow to build.
        holders = [
            tf.placeholder(tfsession.as_dtype(array.dtype).name, array.shape)
            for _, _, array in items
        ]
        prefix = str(directory / "m")
        if tf is tfsession:
            saved = create_op(op, [prefix, keys, specs, holders])
        elif op == "SaveV2":
            saved = tf.raw_ops.SaveV2(
                prefix=prefix, tensor_names=keys, shape_and_slices=specs, tensors=holders
            )
        else:
            saved = tf.raw_ops.SaveSlices(
                filename=prefix, tensor_names=keys, shapes_and_slices=specs, data=holders
            )
        session.run(saved, {h: item[2] for h, item in zip(holders, items, strict=True)})
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("op", "names"),
    [
        pytest.param("SaveV2", NAMES, marks=pytest.mark.spec("9.5")),
        pytest.param("SaveSlices", FIRST_FORMAT, marks=pytest.mark.spec("9.6")),
    ],
)
def test_the_same_bytes_in_each_dtype(tf, tmp_path, rows_compared, op, names):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").mkdir()
    theirs = _save(tf, tmp_path / "theirs", op, names)
    ours = _save(tfsession, tmp_path / "ours", op, names)
    assert sorted(ours) == sorted(theirs)
    assert ours == theirs
    items = [item for item in _tensors(names) if not item[1]]
    rows_compared(len(items))
    for reading, written in ((tf, "ours"), (tfsession, "theirs")):
        reader = reading.train.NewCheckpointReader(str(tmp_path / written / "m"))
        for key, _, expected in items:
            if reading is tf and key.startswith(UNREADABLE[op]):
                continue
            found = np.asarray(reader.get_tensor(key), expected.dtype)
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            if expected.dtype == object:
                assert found.tolist() == expected.tolist()
            else:  # some numbers are too large for some types, and no numbers there
                assert found.tobytes() == expected.tobytes()
        if names is NAMES:
            assert reader.get_tensor("p")[:, 0].tolist() == [4] * 4 + [3] * 6


def _model(tf, use_resource=False):
    """Variables of each kind that programs save."""
    with tf.variable_scope("net", use_resource=use_resource):
        draw = tf.random_normal_initializer(seed=3)
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        w = tf.get_variable("w", [4, 3], initializer=draw)
        r = tf.get_variable("r", [3], use_resource=True, initializer=draw)
        p = tf.get_variable("p", [5, 3], partitioner=tf.fixed_size_partitioner(2), initializer=draw)
        tf.get_variable("h", [2], tf.bfloat16, initializer=tf.ones_initializer())
        y = tf.nn.relu(tf.matmul(x, w) + r + tf.reduce_sum(tf.convert_to_tensor(p)), name="y")
    with tf.device("/cpu:0"):
        tf.Variable([1, 2], name="placed")
    tf.Variable(["a", "bc"], name="texts", trainable=False)
    step = tf.train.get_or_create_global_step()
    tf.add_to_collection("outputs", y)
    optimizer = tf.train.AdamOptimizer(0.1)
    tf.add_to_collection("train", optimizer.minimize(tf.reduce_mean(y), global_step=step))


SAVERS = {
    "plain": {},
    "named": {"name": "mine"},
    "sharded": {"sharded": True},
    "first": {"write_version": 1, "shown": lambda v: v.dtype.base_dtype != "bfloat16"},
    "first_sharded": {"write_version": 1, "sharded": True},
    "reshaping": {"reshape": True, "max_to_keep": 2},
    "sequential": {"restore_sequentially": True, "filename": "there"},
}


def _saver(tf, options):
    options = dict(options)
    shown = options.pop("shown", None)
    if shown is not None:
        options["var_list"] = [v for v in tf.global_variables() if shown(v)]
    return tf.train.Saver(**options)


def _nodes(graph, begin):
    return [
        (
            op.name,
            op.type,
            [tensor.name for tensor in op.inputs],
            sorted(control.name for control in op.control_inputs),
            op.device,
            op.colocation_groups(),
        )
        for op in graph.get_operations()
        if op.name.startswith(begin)
    ]


@pytest.mark.spec("9.4")
@pytest.mark.parametrize("name", SAVERS)
def test_savers_build_the_same_graph(tf, name):
    built = []
    for library in (tf, tfsession):
        with library.Graph().as_default() as graph:
            _model(library)
            saver = _saver(library, SAVERS[name])
            definition = saver.as_saver_def()
            built.append((str(definition), _nodes(graph, SAVERS[name].get("name", "save") + "/")))
    assert built[1][0] == built[0][0]
    assert built[1][1] == built[0][1]


def _train_and_save(library, directory, options):
    """Checkpoint and graph after some steps: name, values, what the graph gives."""
    with library.Graph().as_default(), library.Session() as session:
        _model(library)
        saver = _saver(library, options)
        session.run(library.global_variables_initializer())
        feeds = {"net/x:0": np.ones([2, 4], np.float32)}
        for _ in range(3):
            session.run(library.get_collection("train"), feeds)
            path = saver.save(
                session, str(directory / "m"), global_step=library.train.get_global_step()
            )
        names = [v.op.name for v in library.global_variables()]
        values = session.run([library.convert_to_tensor(v) for v in library.global_variables()])
        return path, dict(zip(names, values, strict=True)), session.run("net/y:0", feeds)


def _open_and_train(library, path, scope=None):
    """The values and the result of a graph that is opened with its checkpoint; it trains on."""
    prefix = f"{scope}/" if scope else ""
    with library.Graph().as_default(), library.Session() as session:
        saver = library.train.import_meta_graph(f"{path}.meta", import_scope=scope)
        saver.restore(session, path)
        names = [v.op.name.removeprefix(prefix) for v in library.global_variables()]
        values = session.run([library.convert_to_tensor(v) for v in library.global_variables()])
        feeds = {f"{prefix}net/x:0": np.ones([2, 4], np.float32)}
        result = session.run(library.get_collection("outputs")[0], feeds)
        session.run(library.get_collection("train"), feeds)
        return (
            dict(zip(names, values, strict=True)),
            result,
            session.run(
                library.train.get_global_step() if scope is None else f"{prefix}global_step:0"
            ),
        )


@pytest.mark.spec("9.3")
@pytest.mark.parametrize("name", ["plain", "sharded"])
@pytest.mark.parametrize("scope", [None, "opened"])
def test_each_opens_what_the_other_has_saved(tf, tmp_path, name, scope):
    for writes, reads in ((tf, tfsession), (tfsession, tf)):
        directory = tmp_path / writes.__name__
        directory.mkdir()
        path, values, result = _train_and_save(writes, directory, SAVERS[name])
        assert reads.train.latest_checkpoint(str(directory)) == path
        found, again, step = _open_and_train(reads, path, scope)
        assert sorted(found) == sorted(values)
        for key, expected in values.items():
            np.testing.assert_array_equal(found[key], expected)
        np.testing.assert_allclose(again, result, rtol=1e-5)
        assert step == 4


@pytest.mark.spec("9.3")
def test_meta_graphs_hold_the_same(tf):
    found = []
    for library in (tf, tfsession):
        with library.Graph().as_default():
            _model(library)
            message = library.train.Saver().export_meta_graph()
            found.append(
                (
                    {k: v.SerializeToString() for k, v in message.collection_def.items()},
                    [op.name for op in message.meta_info_def.stripped_op_list.op],
                    message.saver_def.SerializeToString(),
                    [n.name for n in message.graph_def.node if "gradients" not in n.name],
                )
            )
    theirs, ours = found
    assert ours[0] == theirs[0]
    assert ours[2:] == theirs[2:]


def _states(library, directory, monkeypatch):
    """The state file after each save of a story, with relative and whole paths."""
    monkeypatch.chdir(directory)
    texts = []
    with library.Graph().as_default(), library.Session() as session:
        library.Variable(1.0)
        session.run(library.global_variables_initializer())
        for options, names in [
            ({"max_to_keep": 2}, ["a/m", "a/m", "a/n"]),
            ({"save_relative_paths": True}, ["b/m", str(directory / "b" / "m"), "b/c"]),
            ({"pad_step_number": True, "max_to_keep": 1}, ["m", "./m", str(directory / "m")]),
        ]:
            saver = library.train.Saver(**options)
            for step, name in enumerate(names):
                path = saver.save(session, name, global_step=step)
                folder = os.path.dirname(name) or "."  # noqa: PTH120
                state = Path(folder, "checkpoint").read_text()
                texts += [path, state, saver.last_checkpoints]
                texts += [
                    library.train.latest_checkpoint(folder),
                    sorted(p.name for p in Path(folder).iterdir()),
                ]
    return str(texts).replace(str(directory), "DIRECTORY")


@pytest.mark.spec("9.4")
def test_state_files_tell_the_same(tf, tmp_path, monkeypatch):
    found = []
    for library in (tf, tfsession):
        directory = tmp_path / library.__name__
        for name in ("a", "b"):
            (directory / name).mkdir(parents=True)
        found.append(_states(library, directory, monkeypatch))
    assert found[1] == found[0]


def _frozen(library, output):
    """A frozen graph, as nodes, and what it gives."""
    feeds = {"x:0": np.ones([2, 2], np.float32)}
    with library.Graph().as_default() as graph, library.Session() as session:
        ones = library.ones_initializer()
        x = library.placeholder(library.float32, [None, 2], name="x")
        w = library.get_variable("w", [2, 3], initializer=ones)
        r = library.get_variable("r", [3], use_resource=True, initializer=ones)
        y = library.identity(library.matmul(x, w) + r, name="y")
        rows = library.nn.embedding_lookup(r, [1, 2], name="rows")
        library.add(library.reduce_sum(y), library.reduce_sum(rows), name="z")
        library.while_loop(lambda i: i < 3.0, lambda i: i + r[0], [0.0], name="loop")
        session.run(library.global_variables_initializer())
        frozen = library.graph_util.convert_variables_to_constants(
            session, graph.as_graph_def(), [output]
        )
    nodes = sorted((n.name, n.op, [i for i in n.input if i[0] != "^"]) for n in frozen.node)
    return frozen.SerializeToString(), nodes, feeds if output != "loop/Exit" else {}


@pytest.mark.spec("9.8")
@pytest.mark.parametrize("output", ["y", "z", "loop/Exit"])
def test_frozen_graphs_run_in_both(tf, output):
    found = {library: _frozen(library, output) for library in (tf, tfsession)}
    assert found[tfsession][1] == found[tf][1]
    results = []
    for library in (tf, tfsession):
        for data, _, feeds in found.values():
            with library.Graph().as_default(), library.Session() as session:
                library.import_graph_def(library.GraphDef.FromString(data), name="")
                results.append(session.run(f"{output}:0", feeds).tolist())
    assert results == results[:1] * 4


def _damage(path, place):
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.spec("9.5")
@pytest.mark.parametrize("name", ["m.index", "m.data-00000-of-00001"])
def test_what_is_damaged_is_refused_by_both(tf, tmp_path, name):
    with tfsession.Graph().as_default(), tfsession.Session() as session:
        v = tfsession.Variable([1.0, 2.0], name="v")
        session.run(v.initializer)
        tfsession.train.Saver().save(session, str(tmp_path / "m"))
    _damage(tmp_path / name, 3)
    kinds = []
    for library in (tf, tfsession):
        with library.Graph().as_default(), library.Session() as session:
            library.Variable([0.0, 0.0], name="v")
            with pytest.raises(library.errors.DataLossError) as caught:
                library.train.Saver().restore(session, str(tmp_path / "m"))
            kinds.append(type(caught.value).__name__)
    assert kinds == ["DataLossError"] * 2


def _branches(tf):
    """The MetaGraphDef of branches in branches and in a loop."""
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [], name="x")
        w = tf.get_variable("w", [], initializer=tf.ones_initializer())

        def inner():
            return tf.cond(x > -1, lambda: x * 3.0, lambda: w * 5.0)

        def body(i, a):
            return i + 1, tf.cond(i > 1, lambda: a * x, lambda: a * w * 2.0)

        start = tf.cond(x > 0, lambda: x * w * 2.0, inner)
        tf.identity(tf.while_loop(lambda i, a: i < 4, body, [0, start])[1], name="y")
        return tf.train.export_meta_graph()


@pytest.mark.spec("9.3")
def test_branches_and_loops_have_gradients_in_both(tf):
    found = [_branches(library) for library in (tf, tfsession)]
    for key, kind in (("cond_context", "CondContextDef"), ("while_context", "WhileContextDef")):
        theirs, ours = (message.collection_def[key].bytes_list.value for message in found)
        # As messages: in their bytes, maps come in any order.
        parse = getattr(protos, kind).FromString
        assert list(map(parse, ours)) == list(map(parse, theirs))
    results = []
    for message in found:
        for library in (tf, tfsession):
            with library.Graph().as_default() as graph, library.Session() as session:
                data = message.SerializeToString()
                library.train.import_meta_graph(library.MetaGraphDef.FromString(data))
                x, y = graph.get_tensor_by_name("x:0"), graph.get_tensor_by_name("y:0")
                gradients = library.gradients(y, [x, library.trainable_variables()[0]])
                session.run(library.global_variables_initializer())
                results.append([session.run(gradients, {x: v}) for v in (2.0, -0.5, -3.0)])
    assert results == [[[96, 192], [9, -3], [-120, 540]]] * 4


def _serve(library, directory, words):
    """Write a SavedModel whose main operation notes where a file is."""
    with library.Graph().as_default(), library.Session() as session:
        x = library.placeholder(library.float32, [None, 2], name="x")
        w = library.get_variable("w", [2, 3], initializer=library.ones_initializer())
        where = library.get_variable("where", initializer=library.constant("nowhere"))
        name = library.constant(words, name="words")
        library.add_to_collection(library.GraphKeys.ASSET_FILEPATHS, name)
        session.run(library.global_variables_initializer())
        y = library.matmul(x, w, name="y")
        main = library.assign(where, name).op
        library.saved_model.simple_save(session, directory, {"x": x}, {"y": y}, main)


def _loaded(library, directory, scope):
    prefix = f"{scope}/" if scope else ""
    with library.Graph().as_default(), library.Session() as session:
        message = library.saved_model.loader.load(session, ["serve"], directory, scope)
        signature = message.signature_def["serving_default"]
        feeds = {prefix + signature.inputs["x"].name: [[1, 2]]}
        fetches = [prefix + signature.outputs["y"].name, f"{prefix}where:0"]
        y, where = session.run(fetches, feeds)
        return y.tolist(), where.decode()


@pytest.mark.spec("9.7")
@pytest.mark.parametrize("scope", [None, "loaded"])
def test_saved_models_are_served_by_both(tf, tmp_path, scope):
    words = tmp_path / "words.txt"
    words.write_text("a\nb\n")
    for writes in (tf, tfsession):
        directory = str(tmp_path / writes.__name__)
        _serve(writes, directory, str(words))
        for reads in (tf, tfsession):
            assert _loaded(reads, directory, scope) == (
                [[3, 3, 3]],
                f"{directory}/assets/words.txt",
            )
