"""Texts of kernels that a simulated device leaves for who compiles them."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.devices import code_texts, simulated_numpy
from tfsession.devices.code_texts import NotLoaded, Texts

SOURCE = "common\nnamespace of_f {\nf\n}\n\nnamespace of_g {\ng\n}\n"


def test_each_kernel_is_a_file_and_none_is_loaded(tmp_path):
    kept = Texts(tmp_path / "deep" / "er")
    for options in (("-a", "-b"), ("-a", "-b"), ("-c",)):
        with pytest.raises(NotLoaded, match="f, g"):
            kept.kernels(SOURCE, ["f", "g"], options)
    found = sorted(path.read_text() for path in (tmp_path / "deep" / "er").iterdir())
    kernels = [f"namespace of_{name} {{\n{name}\n}}\n" for name in "fg"]
    assert found == [f"// {told}\n{text}" for told in ("-a -b", "-c") for text in kernels]


def test_a_simulated_device_computes_and_leaves_texts(tmp_path, monkeypatch, fresh_graph):
    monkeypatch.setattr(simulated_numpy, "texts", lambda: Texts(tmp_path))
    monkeypatch.delenv(code_texts.FOLDER, raising=False)
    assert code_texts.texts.__wrapped__() is None
    with tf.device("/gpu:0"):
        x = tf.placeholder(tf.float32, [None, 8])
        weights = tf.Variable(np.ones(8, np.float32))
        y = tf.nn.softmax(tf.tanh(x * weights) + 1.0)
        step = tf.train.AdamOptimizer(0.1).minimize(tf.reduce_sum(y * x))
    fed = {x: np.arange(24, dtype=np.float32).reshape(3, 8)}
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found = [session.run([y, step], fed)[0] for _ in range(3)]
    names = {path.read_text().splitlines()[1] for path in tmp_path.glob("*.cu")}
    assert any("rows" in name and "max" in name for name in names)
    assert any("together" in name for name in names)
    monkeypatch.setattr(simulated_numpy, "texts", lambda: None)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        again = [session.run([y, step], fed)[0] for _ in range(3)]
    np.testing.assert_array_equal(found, again)
