"""What `tfsession convert` makes of TensorFlow's files, and what TensorFlow makes of the result."""

import numpy as np
import pytest

import tfsession
from tfsession.cli.main import main

pytestmark = [pytest.mark.oracle, pytest.mark.spec("9.8")]

X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)


@pytest.fixture(scope="module")
def model(tf, tmp_path_factory):
    """Checkpoints of both formats and a SavedModel by TensorFlow; what the model answers."""
    folder = tmp_path_factory.mktemp("real")
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 4], name="x")
        draw = tf.random_uniform_initializer(seed=1)
        w = tf.get_variable("w", [4, 3], initializer=draw)
        r = tf.get_variable("r", [3], initializer=draw, use_resource=True)
        p = tf.get_variable(
            "p", [4, 3], initializer=draw, partitioner=tf.fixed_size_partitioner(2)
        )  # fmt: skip
        rows = tf.gather(tf.get_variable("table", [5, 3], initializer=draw, use_resource=True), [1])
        i = tf.while_loop(lambda i: i < 3.0, lambda i: i + tf.abs(r[0]) + 1.0, [0.0], name="loop")
        y = tf.nn.softmax(tf.matmul(x, w + p) + r + rows + i, name="y")
        tf.train.AdamOptimizer().minimize(tf.reduce_sum(y))
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(folder / "v2"))
        tf.train.Saver(write_version=tf.train.SaverDef.V1).save(session, str(folder / "v1"))
        tf.saved_model.simple_save(session, str(folder / "saved"), {"x": x}, {"y": y})
        answer = session.run(y, {x: X})
    return folder, answer


def converted(*args):
    assert main(["convert", *map(str, args)]) == 0


@pytest.mark.parametrize(
    ("source", "options"), [("v2", ["--outputs", "y"]), ("v1", ["--outputs", "y"]), ("saved", [])]
)
def test_frozen_graphs_give_the_same_answers(tf, model, tmp_path, source, options):
    folder, answer = model
    converted(folder / source, tmp_path / "f.pb", *options)
    data = (tmp_path / "f.pb").read_bytes()
    for library in (tf, tfsession):
        with library.Graph().as_default(), library.Session() as session:
            library.import_graph_def(library.GraphDef.FromString(data), name="")
            np.testing.assert_allclose(session.run("y:0", {"x:0": X}), answer, rtol=1e-5)


def test_functions_become_plain_graphs(tf, tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        v = tf.get_variable("v", initializer=[[1.0, 2.0], [3.0, 4.0]], use_resource=True)

        @tf.function
        def inner(x):
            return tf.matmul(x, v)

        @tf.function
        def outer(x):
            return inner(x) + v, tf.reduce_sum(v)

        x = tf.placeholder(tf.float32, [None, 2], name="x")
        y, total = outer(x)
        tf.multiply(y, total, name="y")
        session.run(v.initializer)
        expected = session.run("y:0", {"x:0": X.reshape(4, 2)[:2]})
        tf.train.Saver().save(session, str(tmp_path / "m"))
    converted(tmp_path / "m", tmp_path / "f.pb", "--outputs", "y")
    data = (tmp_path / "f.pb").read_bytes()
    assert not tf.GraphDef.FromString(data).library.function
    for library in (tf, tfsession):
        with library.Graph().as_default(), library.Session() as session:
            library.import_graph_def(library.GraphDef.FromString(data), name="")
            found = session.run("y:0", {"x:0": X.reshape(4, 2)[:2]})
            np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("source", ["v1", "v2"])
def test_tensors_come_through_every_format(tf, model, tmp_path, source):
    folder, _ = model
    # TensorFlow does not put the parts of a partitioned tensor of the first format together.
    real = tf.train.NewCheckpointReader(str(folder / "v2"))
    expected = {name: real.get_tensor(name) for name in real.get_variable_to_shape_map()}
    steps = ["a.npz", "b.safetensors", "c", "d"]
    formats = ["npz", "safetensors", "v2", "v1"]
    last = folder / source
    for name, kind in zip(steps, formats, strict=True):
        converted(last, tmp_path / name, "--to", kind)
        last = tmp_path / name
    for name in ("c", "d"):
        found = tf.train.NewCheckpointReader(str(tmp_path / name))
        assert found.get_variable_to_shape_map() == real.get_variable_to_shape_map()
        for tensor, value in expected.items():
            np.testing.assert_array_equal(found.get_tensor(tensor), value)
    with np.load(tmp_path / "a.npz") as arrays:
        assert {name: arrays[name].tobytes() for name in arrays.files} == {
            name: np.asarray(value).tobytes() for name, value in expected.items()
        }
