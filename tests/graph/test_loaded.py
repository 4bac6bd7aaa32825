"""What graphs of others may do: compute, and reach what the program itself names."""

import ast
import inspect
from pathlib import Path

import pytest

import tfsession as tf
from tfsession.core import op_reach
from tfsession.core.op_def import ops
from tfsession.core.rules import kernels
from tfsession.graph import loaded
from tfsession.ops.defun import Defun

TESTS = str(Path(__file__).parents[1])
# By these a kernel's module could reach outside of the session.
WAYS_OUT = {
    *("glob", "os", "pathlib", "shutil", "socket", "subprocess", "tempfile", "urllib"),
    *("tfsession.checkpoint", "tfsession.core.file_system", "tfsession.core.host_functions"),
    *("tfsession.core.records", "tfsession.resources.reader_files"),
    "tfsession.resources.reader_kinds",
}
# Ops of kernels that stand beside such as reach outside, and are given no text.
BESIDE = {
    *("ReaderNumRecordsProducedV2", "ReaderNumWorkUnitsCompletedV2", "ReaderReadUpToV2"),
    *("ReaderReadV2", "ReaderResetV2", "ReaderSerializeStateV2"),
    *("IdentityReader", "IdentityReaderV2", "SerializeTensor"),
}


@pytest.fixture(autouse=True)
def others_wrote_it(monkeypatch):
    """As if the graphs that a test makes came from another process."""
    monkeypatch.setattr(loaded, "_own_nodes", set())


def _imports(module):
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_op_that_is_given_text_is_classified():
    known = op_reach.HARMLESS | op_reach.REACHING.keys()
    own = [name for name in ops.names() if not ops.site(name).startswith(TESTS)]
    missing = [n for n in own if op_reach.is_given_text(ops[n]) and n not in known]
    assert missing == [], "say in tfsession/core/op_reach.py what these reach"
    assert sorted(known - set(own)) == []
    assert op_reach.HARMLESS & op_reach.REACHING.keys() == set()


def test_ops_beside_ways_out_are_classified_one_by_one():
    known = op_reach.HARMLESS | op_reach.REACHING.keys() | BESIDE
    missing, modules = [], {}
    for name in kernels.names():
        family = ops.site(name).rpartition("/")[2].partition(".")[0]
        if name in known or family in ("dataset_def", "lookup") or ops.site(name).startswith(TESTS):
            continue  # what stands beside those of files has its elements from elsewhere
        for kernel in kernels[name]:
            module = inspect.getmodule(kernel.function)
            if module is not None and module not in modules:
                modules[module] = bool(WAYS_OUT & set(_imports(module)))
            if modules.get(module):
                missing.append(name)
    assert missing == []


def test_an_op_that_nobody_has_classified_is_refused(monkeypatch):
    monkeypatch.setattr(op_reach, "HARMLESS", op_reach.HARMLESS - {"StringLength"})
    monkeypatch.setattr(loaded, "HARMLESS", op_reach.HARMLESS)
    length = transplanted(lambda: tf.strings.length(["abc"]))
    with pytest.raises(tf.errors.PermissionDeniedError, match="nobody has said"):
        run(length)


def transplanted(build, *, feeds=()):
    """What `build` makes, in a graph of its own into which its GraphDef was loaded."""
    with tf.Graph().as_default() as graph:
        built = build()
        message = graph.as_graph_def()
    loaded._own_nodes.clear()
    into = tf.Graph()
    with into.as_default():
        name = built.name if isinstance(built, tf.Operation) else built.op.name
        (op,) = tf.import_graph_def(message, return_elements=[name], name="")
    return op


def run(op, feeds=None):
    with tf.Session(graph=op.graph) as session:
        return session.run(op.outputs[0] if op.outputs else op, feeds)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b"line\n")
    return str(path)


def _read_by_reader(file):
    reader = tf.TextLineReader()
    queue = tf.FIFOQueue(1, tf.string)
    with tf.control_dependencies([queue.enqueue([file])]):
        return reader.read(queue).value


def _dataset(make):
    return lambda file: tf.data.make_one_shot_iterator(make(file)).get_next()


def _by_map(file):
    return tf.data.Dataset.from_tensors(file).map(tf.read_file)


def _table(file):
    initializer = tf.lookup.TextFileInitializer(file, tf.string, 0, tf.int64, 1, delimiter=" ")
    return tf.lookup.StaticHashTable(initializer, -1).initializer


def _saved(file):
    return tf.raw_ops.SaveV2(
        prefix=file, tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1)]
    )


REFUSED = {
    "ReadFile": tf.read_file,
    "WriteFile": lambda file: tf.io.write_file(file, "x"),
    "MatchingFiles": tf.io.matching_files,
    "TextLineReaderV2": _read_by_reader,
    "TextLineDataset": _dataset(tf.data.TextLineDataset),
    "TFRecordDataset": _dataset(tf.data.TFRecordDataset),
    "HashTableV2": _table,
    "SaveV2": _saved,
    "PyFunc": lambda file: tf.py_func(lambda: 1, [], tf.int64),
    "EagerPyFunc": lambda file: tf.py_function(lambda: 1, [], tf.int64),
    "PrintV2": lambda file: tf.print("x", output_stream=f"file://{file}"),
}


@pytest.mark.parametrize("op_type", REFUSED)
def test_what_is_refused(op_type, file):
    op = transplanted(lambda: REFUSED[op_type](file))
    with pytest.raises(tf.errors.PermissionDeniedError, match="an imported GraphDef") as error:
        run(op)
    refused = error.value.op.type
    assert f"tf.allow_loaded_ops('{refused}')" in str(error.value)
    assert refused in op_reach.REACHING
    assert Path(file).read_bytes() == b"line\n"


def test_in_a_function_of_a_dataset(file):
    op = transplanted(lambda: _dataset(_by_map)(file))
    with pytest.raises(tf.errors.PermissionDeniedError, match="ReadFile"):
        run(op)


def test_in_a_function_that_is_called(file):
    op = transplanted(lambda: tf.identity(Defun()(lambda: tf.read_file(file))()))
    with pytest.raises(tf.errors.PermissionDeniedError, match="ReadFile"):
        run(op)


def test_in_a_function_of_the_program_around_a_loaded_graph(file):
    with tf.Graph().as_default():
        tf.read_file(file, name="read")
        message = tf.get_default_graph().as_graph_def()
    loaded._own_nodes.clear()

    @Defun()
    def around():
        return tf.import_graph_def(message, return_elements=["read:0"])[0]

    with tf.Graph().as_default(), tf.Session() as session:
        result = around()
        for _ in range(2):
            with pytest.raises(tf.errors.PermissionDeniedError, match="ReadFile"):
                session.run(result)


def test_nothing_is_reached_while_a_graph_is_loaded(tmp_path):
    """Shapes follow from constants, but no file is read for them, and no function called."""
    (tmp_path / "size").write_text("3")
    calls = []

    def build():
        size = tf.string_to_number(tf.read_file(str(tmp_path / "size")), tf.int32)
        count = tf.py_func(lambda x: calls.append(1) or x, [tf.constant(2)], tf.int32, False)
        return tf.zeros([size, count])

    op = transplanted(build)
    assert op.outputs[0].shape.as_list() == [None, None]
    assert calls == []


def test_what_a_loaded_graph_computes_beside_is_computed(file):
    op = transplanted(lambda: tf.identity_n([tf.strings.length(file), tf.read_file(file)])[0])
    length = op.inputs[0]
    with tf.Session(graph=op.graph) as session:
        assert session.run(length) == len(file)
        with pytest.raises(tf.errors.PermissionDeniedError):
            session.run(op.outputs)
        assert session.explain_placement(op.outputs[1])
        assert session.run(length) == len(file)


# --- what is allowed ------------------------------------------------------------------------------


def test_a_type_that_the_program_allows(file, monkeypatch):
    with tf.allow_loaded_ops("MatchingFiles"), tf.allow_loaded_ops("ReadFile"):
        op = transplanted(lambda: tf.read_file(tf.io.matching_files(file)[0]))
    assert run(op) == b"line\n"
    with tf.allow_loaded_ops("*"):
        assert run(transplanted(lambda: tf.read_file(file))) == b"line\n"
    monkeypatch.setenv("TFSESSION_ALLOW_LOADED_OPS", "WriteFile, ReadFile")
    assert run(transplanted(lambda: _dataset(_by_map)(file))) == b"line\n"
    with pytest.raises(tf.errors.PermissionDeniedError):
        run(transplanted(lambda: tf.io.matching_files(file)))
    with (
        pytest.raises(ValueError, match="no op of type 'ReadFiel'"),
        tf.allow_loaded_ops("ReadFiel"),
    ):
        pass


def test_a_file_that_the_program_names(file):
    def build():
        name = tf.placeholder_with_default("elsewhere", [], name="name")
        return tf.read_file(tf.strings.join([name, "et"]))

    op = transplanted(build)
    assert run(op, {"name:0": file[:-2]}) == b"line\n"
    with pytest.raises(tf.errors.PermissionDeniedError):
        run(op)


def _through_a_variable(name, *, wait=True, other=None):
    v = tf.get_variable("v", [], tf.string, use_resource=True)
    written = tf.assign(v, name).op
    others = [] if other is None else [tf.assign(v, other).op]
    with tf.control_dependencies([written] if wait else []):
        read = v.read_value()
    with tf.control_dependencies([written, *others]):
        return tf.identity(tf.read_file(read))


def test_a_file_whose_name_goes_through_a_variable(file):
    """As SavedModels of TensorFlow 2 have the files of their tables."""
    name = lambda: tf.placeholder_with_default("elsewhere", [], name="name")  # noqa: E731
    op = transplanted(lambda: _through_a_variable(name()))
    assert run(op, {"name:0": file}) == b"line\n"
    with pytest.raises(tf.errors.PermissionDeniedError):
        run(op)
    for settings in ({"wait": False}, {"other": "elsewhere"}):
        op = transplanted(lambda s=settings: _through_a_variable(name(), **s))
        with pytest.raises(tf.errors.PermissionDeniedError):
            run(op, {"name:0": file})


@pytest.mark.parametrize(
    "lead",
    [
        lambda name: tf.strings.join([name, "/../secret"]),
        lambda name: tf.strings.join([name, "/.", "./secret"]),
        lambda name: tf.strings.join([name, "secret"], separator="/../"),
        lambda name: tf.strings.join(["../", name]),
        lambda name: tf.strings.join([name, tf.read_file(name)]),
        lambda name: tf.strings.substr(name, 0, 1),
        lambda name: tf.stack([name, "secret"])[1],
    ],
)
def test_a_file_that_the_program_does_not_name(file, lead):
    op = transplanted(lambda: tf.read_file(lead(tf.placeholder(tf.string, [], name="name"))))
    with pytest.raises(tf.errors.PermissionDeniedError):
        run(op, {"name:0": file})


def test_a_graph_that_the_program_has_written_itself(file, tmp_path):
    """Whole or in part, over a file, under a name scope, without devices."""
    with tf.Graph().as_default() as graph:
        contents = tf.read_file(file, name="read")
        tf.strings.length(contents, name="length")
        meta = str(tmp_path / "m.meta")
        tf.train.export_meta_graph(meta)
        part = tf.graph_util.extract_sub_graph(graph.as_graph_def(add_shapes=True), ["read"])
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.import_meta_graph(meta, clear_devices=True, import_scope="again")
        assert session.run("again/length:0") == 5
        (read,) = tf.import_graph_def(part, return_elements=["read:0"])
        assert session.run(read) == b"line\n"
    changed = next(node for node in part.node if node.op == "Const")
    changed.attr["value"].tensor.string_val[0] += b"s"
    with tf.Graph().as_default(), tf.Session() as session:
        (read,) = tf.import_graph_def(part, return_elements=["read:0"])
        with pytest.raises(tf.errors.PermissionDeniedError):
            session.run(read)


def test_writing_a_loaded_graph_out_again_makes_it_no_own_one(file):
    op = transplanted(lambda: tf.read_file(file, name="read"))
    with tf.Graph().as_default(), tf.Session() as session:
        message = op.graph.as_graph_def()
        (read,) = tf.import_graph_def(message, return_elements=["read:0"])
        with pytest.raises(tf.errors.PermissionDeniedError):
            session.run(read)


@pytest.mark.parametrize("settings", [{}, {"sharded": True}, {"write_version": 1}])
def test_a_saver_saves_and_restores(tmp_path, settings):
    prefix = str(tmp_path / "m")
    with tf.Graph().as_default(), tf.Session() as session:
        w = tf.get_variable("w", initializer=[1.0, 2.0])
        session.run(w.initializer)
        saver = tf.train.Saver(**settings)
        saver.save(session, prefix)
    loaded._own_nodes.clear()
    with tf.Graph().as_default(), tf.Session() as session:
        saver = tf.train.import_meta_graph(f"{prefix}.meta")
        saver.restore(session, prefix)
        assert session.run("w:0").tolist() == [1, 2]
        session.run(tf.assign_add(tf.global_variables()[0], [1.0, 1.0]))
        saver.save(session, prefix)
        with pytest.raises(tf.errors.PermissionDeniedError, match=r"m\.meta"):
            session.run(saver.saver_def.save_tensor_name)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        assert session.run("w:0").tolist() == [2, 3]


def test_a_saved_model_finds_the_files_of_its_tables(tmp_path):
    (tmp_path / "words").write_text("a\nb\n")
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.string, [None])
        table = tf.contrib.lookup.index_table_from_file(str(tmp_path / "words"))
        y = table.lookup(x)
        session.run(tf.tables_initializer())
        tf.saved_model.simple_save(
            session, str(tmp_path / "m"), {"x": x}, {"y": y}, tf.tables_initializer()
        )
    loaded._own_nodes.clear()
    with tf.Graph().as_default(), tf.Session() as session:
        signature = tf.saved_model.load(session, ["serve"], str(tmp_path / "m"))
        names = signature.signature_def["serving_default"]
        asked = names.outputs["y"].name, {names.inputs["x"].name: ["b", "a", "c"]}
        assert session.run(*asked).tolist() == [1, 0, -1]
        with pytest.raises(tf.errors.PermissionDeniedError, match="SavedModel in"):
            session.run(tf.tables_initializer())
