"""SavedModels: directories that hold all it takes to run a graph again."""

from pathlib import Path

import pytest

import tfsession as tf


@pytest.fixture
def model(fresh_graph):
    """A session with a variable, a computation, and a constant that names a file."""
    x = tf.placeholder(tf.float32, [None, 2], name="x")
    w = tf.get_variable("w", [2, 3], initializer=tf.ones_initializer())
    y = tf.matmul(x, w, name="y")
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        yield session, {"x": x}, {"y": y}


def _served(directory, scope=None):
    """What the signature of a loaded model computes of [1, 2]."""
    with tf.Graph().as_default(), tf.Session() as session:
        message = tf.saved_model.loader.load(session, ["serve"], str(directory), scope)
        signature = message.signature_def["serving_default"]
        x, y = (
            tf.saved_model.get_tensor_from_tensor_info(infos[name], import_scope=scope)
            for infos, name in ((signature.inputs, "x"), (signature.outputs, "y"))
        )
        return session.run(y, {x: [[1, 2]]}).tolist()


@pytest.mark.parametrize("scope", [None, "loaded"])
def test_a_simple_model_is_served(model, tmp_path, scope):
    tf.saved_model.simple_save(model[0], str(tmp_path / "m"), *model[1:])
    assert tf.saved_model.maybe_saved_model_directory(str(tmp_path / "m"))
    assert sorted(p.name for p in (tmp_path / "m").rglob("*")) == [
        *("saved_model.pb", "variables", "variables.data-00000-of-00001", "variables.index"),
    ]
    assert _served(tmp_path / "m", scope) == [[3, 3, 3]]


def test_files_and_main_operations_come_along(model, tmp_path):
    names = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "words.txt").write_text(folder)
        names.append(tf.constant(str(tmp_path / folder / "words.txt"), name=folder))
    where = tf.get_variable("where", initializer=tf.constant(["", ""]))
    model[0].run(where.initializer)
    main = tf.assign(where, names).op
    builder = tf.saved_model.builder.SavedModelBuilder(str(tmp_path / "m"))
    signatures = {"serving_default": tf.saved_model.predict_signature_def(*model[1:])}
    builder.add_meta_graph_and_variables(
        model[0], ["serve"], signatures, names, main_op=main, clear_devices=True
    )
    assert builder.save(as_text=True) == str(tmp_path / "m" / "saved_model.pbtxt").encode()
    for folder in ("a", "b"):
        (tmp_path / folder / "words.txt").unlink()
    with tf.Graph().as_default(), tf.Session() as session:
        tf.saved_model.load(session, {"serve"}, str(tmp_path / "m"))
        found = [path.decode() for path in session.run("where:0")]
    assert found == [str(tmp_path / "m" / "assets" / n) for n in ("words.txt", "words.txt_1")]
    assert [Path(path).read_text() for path in found] == ["a", "b"]


def test_several_graphs_of_one_model(model, tmp_path):
    builder = tf.saved_model.Builder(str(tmp_path / "m"))
    with pytest.raises(AssertionError, match="has not been saved yet"):
        builder.add_meta_graph(["serve"])
    builder.add_meta_graph_and_variables(model[0], ["train"])
    with pytest.raises(AssertionError, match="has already been saved"):
        builder.add_meta_graph_and_variables(model[0], ["other"])
    signatures = {"serving_default": tf.saved_model.predict_signature_def(*model[1:])}
    builder.add_meta_graph(["serve"], signatures)
    builder.save()
    assert _served(tmp_path / "m") == [[3, 3, 3]]
    with tf.Graph().as_default(), tf.Session() as session:
        message = tf.saved_model.load(session, ["train"], str(tmp_path / "m"))
        assert not message.signature_def


def test_what_is_no_saved_model(model, tmp_path):
    tf.saved_model.simple_save(model[0], str(tmp_path / "m"), *model[1:])
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "saved_model.pb").write_bytes(b"\xff\xff")
    for call, kind, text in [
        (lambda: tf.saved_model.load(model[0], ["zz"], str(tmp_path / "m")), RuntimeError,
         r"tags 'zz' could not be found in SavedModel, with available tags '\[\{'serve'\}\]'"),
        (lambda: tf.saved_model.load(model[0], ["serve"], str(tmp_path / "none")), OSError,
         "SavedModel file does not exist at: .*saved_model.pbtxt|saved_model.pb"),
        (lambda: tf.saved_model.load(model[0], ["serve"], str(tmp_path / "bad")), OSError,
         "Cannot parse file"),
        (lambda: tf.saved_model.Builder(str(tmp_path / "m")), AssertionError, "isn't empty"),
        (lambda: tf.saved_model.predict_signature_def({}, model[2]), ValueError, "None or empty"),
    ]:  # fmt: skip
        with pytest.raises(kind, match=text):
            call()
    assert not tf.saved_model.maybe_saved_model_directory(str(tmp_path / "none"))


def test_signatures_of_each_kind(fresh_graph):
    examples, names = tf.constant(["a"]), tf.constant(["cat"])
    scores = tf.placeholder(tf.float32, [None])
    regression = tf.saved_model.regression_signature_def(examples, scores)
    assert regression.method_name == tf.saved_model.signature_constants.REGRESS_METHOD_NAME
    assert regression.outputs["outputs"].tensor_shape.dim[0].size == -1
    both = tf.saved_model.classification_signature_def(examples, names, scores)
    assert sorted(both.outputs) == ["classes", "scores"]
    with pytest.raises(ValueError, match="Regression input tensors must be of type string"):
        tf.saved_model.regression_signature_def(scores, scores)
    with pytest.raises(ValueError, match="cannot both be None"):
        tf.saved_model.classification_signature_def(examples, None, None)
    sparse = tf.SparseTensor([[0]], [1.0], [3])
    info = tf.saved_model.build_tensor_info(sparse)
    again = tf.saved_model.get_tensor_from_tensor_info(info)
    assert again.values is sparse.values
    assert tf.saved_model.tag_constants.SERVING == "serve"
