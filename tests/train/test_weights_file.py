"""`tf.train.export_weights` and `import_weights`: variables in files of other libraries."""

import re
from importlib import resources

import numpy as np
import pytest

import tfsession as tf
from tfsession.cli.main import main
from tfsession.core import errors


@pytest.fixture
def model(fresh_graph):
    """A session with a variable of each kind; their values are all different."""
    with tf.variable_scope("net"):
        draw = tf.random_uniform_initializer(seed=1)
        tf.get_variable("w", [2, 3], initializer=draw)
        tf.get_variable("r", [3], use_resource=True, initializer=draw)
        tf.get_variable(
            "p", [10, 3], partitioner=tf.fixed_size_partitioner(3), initializer=draw
        )  # fmt: skip
        for dtype in (tf.bfloat16, tf.float16, tf.bool, tf.int8, tf.as_dtype("float8_e5m2")):
            tf.get_variable(dtype.name, initializer=tf.cast(tf.constant([0, 1]), dtype))
    tf.train.get_or_create_global_step()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        yield session


NUMPYS = ["w", "r", "float16", "bool", "int8"]


def assert_equal(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


def test_all_variables_come_back(model, tmp_path):
    path = tf.train.export_weights(model, tmp_path / "new" / "m.safetensors", metadata={"a": "b"})
    assert path == str(tmp_path / "new" / "m.safetensors")
    before = model.run(tf.global_variables())
    names = [
        *("global_step", "net/bfloat16", "net/bool", "net/float16", "net/float8_e5m2", "net/int8"),
        *("net/p", "net/r", "net/w"),
    ]
    assert [name for name, _ in tf.train.list_variables(path)] == names
    assert dict(tf.train.list_variables(path))["net/p"] == [10, 3]
    whole = np.concatenate(model.run(tf.global_variables("net/p")))
    assert_equal([tf.train.load_variable(path, "net/p")], [whole])
    model.graph.finalize()
    with tf.Session() as other:
        assert tf.train.import_weights(other, path, strict=True) == names
        assert_equal(other.run(tf.global_variables()), before)


def test_npz(model, tmp_path):
    chosen = [v for v in tf.global_variables() if v.op.name.split("/")[-1] in NUMPYS]
    path = tf.train.export_weights(model, tmp_path / "m.npz", chosen)
    values = model.run(chosen)
    with np.load(path, allow_pickle=False) as found:
        assert_equal([found[v.op.name] for v in chosen], values)
    with tf.Session() as other:
        tf.train.import_weights(other, path, chosen)
        assert_equal(other.run(chosen), values)
    with pytest.raises(errors.InvalidArgumentError, match="net/bfloat16 is of dtype bfloat16, wh"):
        tf.train.export_weights(model, path)
    with np.load(path) as found:
        assert len(found.files) == len(chosen)  # the old file


def test_names_of_choice(model, tmp_path):
    w, r = tf.global_variables("net/w")[0], tf.global_variables("net/r")[0]
    path = tf.train.export_weights(model, tmp_path / "weights", {"a": w, "b": r}, "safetensors")
    values = model.run([w, r])
    model.run(tf.global_variables_initializer())
    model.run([w.assign(w * 0), r.assign(r * 0)])
    assert tf.train.import_weights(model, path, {"a": w}) == ["a"]
    assert_equal(model.run([w, r]), [values[0], np.zeros(3, np.float32)])


def test_checkpoints_are_read_too(model, tmp_path):
    before = model.run(tf.global_variables())
    tf.train.Saver().save(model, str(tmp_path / "m"))
    with tf.Session() as other:
        tf.train.import_weights(other, tmp_path)
        assert_equal(other.run(tf.global_variables()), before)


def test_savers_restore_from_such_files(model, tmp_path):
    before = model.run(tf.global_variables())
    path = tf.train.export_weights(model, tmp_path / "m.safetensors")
    with tf.Session() as other:
        tf.train.Saver().restore(other, path)
        assert_equal(other.run(tf.global_variables()), before)
    with tf.Graph().as_default(), tf.Session() as session:
        mine = tf.get_variable("mine", [10, 3])
        tf.train.init_from_checkpoint(path, {"net/p": mine})
        session.run(tf.global_variables_initializer())
        assert_equal([session.run(mine)], [tf.train.load_variable(path, "net/p")])


def test_one_initial_value_for_two(fresh_graph, tmp_path):
    start = tf.constant([1.0, 2.0])
    a, b = tf.Variable(start, name="a"), tf.Variable(start, name="b")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(a.assign_add([1.0, 1.0]))
        path = tf.train.export_weights(session, tmp_path / "m.npz")
        session.run(tf.global_variables_initializer())
        tf.train.import_weights(session, path)
        assert session.run([a, b])[0].tolist() == [2.0, 3.0]
        assert session.run(b).tolist() == [1.0, 2.0]


MISFITS = [
    ({"w": np.zeros(3, np.float32)}, errors.NotFoundError, r"m.npz lacks b, c"),
    (
        {"w": np.zeros(3), "b": np.zeros(3, np.float32), "c": np.zeros(4, np.float32)},
        errors.InvalidArgumentError,
        r"c is \[4\] there, \[2\] here; w is float64 there, float32 here",
    ),
    (
        {n: np.zeros(2 if n == "c" else 3, np.float32) for n in "bcwxyz"},
        errors.InvalidArgumentError,
        r"for which there is no variable: x, y, z",
    ),
]


@pytest.mark.parametrize(("arrays", "kind", "told"), MISFITS, ids=["lacks", "misfits", "more"])
def test_nothing_changes_where_something_does_not_fit(fresh_graph, tmp_path, arrays, kind, told):
    w, b = tf.get_variable("w", [3]), tf.get_variable("b", [3])
    c = tf.get_variable("c", [2], partitioner=tf.fixed_size_partitioner(2))
    np.savez(tmp_path / "m.npz", **arrays)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        before = session.run([w, b, *c])
        with pytest.raises(kind, match=told):
            tf.train.import_weights(session, tmp_path / "m.npz", strict=True)
        assert_equal(session.run([w, b, *c]), before)


def test_what_cannot_be_written(model, tmp_path):
    text = tf.get_variable("text", initializer=tf.constant(["a"]))
    complex_one = tf.get_variable("many", initializer=tf.constant([1j]))
    model.run([text.initializer, complex_one.initializer])
    path = tmp_path / "m.safetensors"
    for variable, told in ((text, "text is of dtype string"), (complex_one, "is of dtype complex")):
        with pytest.raises(errors.InvalidArgumentError, match=told):
            tf.train.export_weights(model, path, [variable])
    with pytest.raises(ValueError, match=r"Expected a file called \*.safetensors or \*.npz"):
        tf.train.export_weights(model, tmp_path / "m.bin")
    with pytest.raises(ValueError, match="Only safetensors files hold metadata"):
        tf.train.export_weights(model, tmp_path / "m.npz", metadata={"a": "b"})
    part = tf.global_variables("net/p")[0]
    with pytest.raises(ValueError, match="Not all of the partitioned variable net/p is given"):
        tf.train.export_weights(model, path, [part])
    with pytest.raises(TypeError, match="Variable to save is not a Variable"):
        tf.train.export_weights(model, path, [tf.constant(1.0)])
    with pytest.raises(TypeError, match="Expected variables, got"):
        tf.train.export_weights(model, path, {"a": tf.constant(1.0)})
    with pytest.raises(TypeError, match="'sess' must be a Session; None"):
        tf.train.export_weights(None, path)
    with tf.Session() as other, pytest.raises(errors.FailedPreconditionError):
        tf.train.export_weights(other, path)
    with pytest.raises(errors.NotFoundError):
        tf.train.import_weights(model, path)
    assert list(tmp_path.iterdir()) == []


# --- what the documentation shows ------------------------------------------------------------


def test_the_examples_of_the_documentation(fresh_graph, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = resources.files(tf).joinpath("docs/files.md").read_text(encoding="utf-8")
    names = {}
    shown = re.findall(r"```(python|sh)\n(.*?)```", text, re.DOTALL)
    for language, example in shown:
        if language == "python":
            exec(compile(example, "files.md", "exec"), names)
            continue
        for line in example.splitlines():
            assert main(line.split()[1:]) == 0, line
    assert len(shown) == 3
    out = capsys.readouterr().out
    assert "layer/kernel" in out
    assert "frozen.pb: frozen graph of y, " in out
