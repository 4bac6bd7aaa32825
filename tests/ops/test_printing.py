"""Printing from within a step."""

import sys

import pytest

import tfsession as tf
from tfsession.graph.create import create_op
from tfsession.testing import FLOATS, Row, case_name, check_row, floats, row_cases

ROWS = [
    Row("Print", lambda tf, x: tf.Print(x, [x, "a"], "m: "), [floats(3, 4)], dtypes=FLOATS,
        grad=True, reference=lambda x: x),
]  # fmt: skip
COVERED = ["PrintV2"]


@pytest.mark.parametrize("case", row_cases(ROWS), ids=case_name)
def test_row(case, device):
    check_row(*case, device)


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


def test_tf_print(fresh_graph, capfd, tmp_path):
    x, sparse = tf.constant([[1.5, 2], [3, 4]]), tf.SparseTensor([[0, 1]], [7], [2, 2])
    path = tmp_path / "f"
    ops = [
        tf.print("x:", x, 3, None),
        tf.print({"b": tf.range(9), "a": ["s", sparse]}, summarize=2, end="!\n", name="n"),
        tf.print("{}", tf.constant("é\n"), sep="", output_stream=f"file://{path}"),
        tf.print(tf.constant("bare {}"), output_stream=tf.logging.info),
        tf.print(),
    ]
    with tf.Session() as session:
        for op in ops:
            session.run(op)
    assert capfd.readouterr().err.splitlines() == [
        "x: [[1.5 2]",
        " [3 4]] 3 None",
        "{'a': ['s', 'SparseTensor(indices=[[0 1]], values=[7], shape=[2 2])'], "
        "'b': [0 1 ... 7 8]}!",
        "bare {}",
        "",
    ]
    assert path.read_text("utf-8") == '{}"é\\n"\n'
    assert ops[1].name == "n"
    with pytest.raises(ValueError, match="Unsupported output stream"):
        tf.print(1, output_stream=7)
    with pytest.raises(ValueError, match="Unrecognized keyword arguments"):
        tf.print(1, file=7)


def test_tf_print_to_the_standard_output(fresh_graph, capsys):
    op = tf.print(tf.constant(True), output_stream=sys.stdout)
    with tf.Session() as session, tf.control_dependencies([op]):
        assert session.run(tf.constant(2) + 1) == 3
    assert capsys.readouterr().out == "1\n"
