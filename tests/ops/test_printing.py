"""Printing from within a step."""

import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, Row, floats

ROWS = [
    Row("Print", lambda tf, x: tf.Print(x, [x, "a"], "m: "), [floats(3, 4)], dtypes=FLOATS,
        grad=True, reference=lambda x: x),
]  # fmt: skip
COVERED = ["PrintV2"]


def test_what_is_printed(fresh_graph, capfd, device):
    with tf.device(device):
        x = tf.constant([1.0, 2.0])
    data = [tf.constant([[1, 2, 3], [4, 5, 6]]), tf.range(5.0) / 3, 0.1, True, ["a", "b"], []]
    y = tf.Print(x, data, message="seen: ", first_n=2, summarize=4)
    everything = tf.Print(x, [tf.range(5)], summarize=-1)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        for _ in range(3):
            assert session.run(y).tolist() == [1.0, 2.0]
        session.run(everything)
    line = "seen: [[1 2 3][4...]...][0 0.333333343 0.666666687 1...][0.1][1][a b][]\n"
    assert capfd.readouterr().err == line * 2 + "[0 1 2 3 4]\n"


def test_streams(fresh_graph, capfd, tmp_path):
    text = tf.constant("é")
    path = tmp_path / "f"
    streams = ("stdout", "stderr", f"file://{path}", "none")
    ops = [create_op("PrintV2", [text], {"output_stream": s, "end": "!\n"}) for s in streams]
    with tf.Session() as session:
        session.run(ops[:3])
        with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown output stream"):
            session.run(ops[3])
    assert capfd.readouterr() == ("é!\n", "é!\n")
    assert path.read_text("utf-8") == "é!\n"
