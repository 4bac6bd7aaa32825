"""Files, nests and test cases without TensorFlow beside them."""

import pytest

import tfsession as tf


def test_files_round_trip(tmp_path):
    folder = str(tmp_path / "a" / "b")
    tf.gfile.MakeDirs(folder)
    with tf.gfile.GFile(f"{folder}/f.txt", "w") as file:
        file.write("é\n")
        file.write(b"b\n")
    assert list(tf.gfile.GFile(f"{folder}/f.txt")) == ["é\n", "b\n"]
    assert tf.io.gfile.listdir(folder) == tf.gfile.ListDirectory(folder) == ["f.txt"]
    assert tf.gfile.Glob(f"file://{folder}/*.txt") == [f"{folder}/f.txt"]
    tf.gfile.DeleteRecursively(str(tmp_path / "a"))
    assert not tf.gfile.Exists(folder)


def test_errors_of_the_system_are_tensorflows(tmp_path):
    with pytest.raises(tf.errors.NotFoundError, match="none; No such file or directory"):
        tf.gfile.GFile(str(tmp_path / "none")).read()
    with pytest.raises(tf.errors.UnimplementedError, match="File system scheme 'gs'"):
        tf.gfile.Exists("gs://bucket/f")
    with pytest.raises(tf.errors.PermissionDeniedError, match="File isn't open for reading"):
        tf.gfile.GFile(str(tmp_path / "f"), "w").read()
    with pytest.raises(tf.errors.FailedPreconditionError):
        tf.gfile.GFile(str(tmp_path), "r").read()


def test_composites_come_apart():
    with tf.Graph().as_default():
        sparse = tf.SparseTensor([[0]], [1.0], [2])
        assert tf.nest.flatten([sparse]) == [sparse]
        assert len(tf.nest.flatten([sparse], expand_composites=True)) == 3


def test_stubs_are_put_back():
    class Thing:
        value = 1

    with tf.test.StubOutForTesting() as stubs:
        stubs.Set(Thing, "value", 2)
        assert Thing.value == 2
    assert Thing.value == 1


def test_graph_defs_are_compared():
    with tf.Graph().as_default() as graph:
        tf.constant(1, name="a")
        first = graph.as_graph_def()
        tf.constant(1, name="b")
    tf.test.assert_equal_graph_def(first, first)
    with pytest.raises(AssertionError, match=r"\['b'\]"):
        tf.test.assert_equal_graph_def(first, graph.as_graph_def())


def test_a_gradient_that_is_wrong_shows(fresh_graph):
    x = tf.placeholder(tf.float64, [2])
    wrong = tf.stop_gradient(x) * x
    with pytest.raises(ValueError, match="default session"):
        tf.test.compute_gradient_error(x, [2], wrong, [2])
    with tf.Session():
        assert tf.test.compute_gradient_error(x, [2], wrong, [2]) > 0.1
        assert tf.test.compute_gradient_error(x, [2], x * x, [2]) < 1e-6
        with pytest.raises(ValueError, match="no gradient"):
            tf.test.compute_gradient(x, [2], tf.constant([1.0, 1.0], tf.float64), [2])
