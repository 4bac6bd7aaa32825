"""Profiles: what graphs take, by name scope and op type."""

import numpy as np
import pytest

import tfsession as tf


@pytest.fixture
def output(fresh_graph):
    x = tf.placeholder(tf.float32, [4, 8, 8, 3], name="x")
    with tf.variable_scope("net"):
        w = tf.get_variable("w", [3, 3, 3, 5])
        b = tf.get_variable("b", [5])
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(x, w, [1, 1, 1, 1], "SAME"), b))
        v = tf.get_variable("v", [320, 10])
        z = tf.matmul(tf.reshape(y, [4, 320]), v) + 1.0
    tf.get_variable("fixed", [7], trainable=False)
    return tf.reduce_sum(tf.nn.softmax(z))


OPTIONS = tf.profiler.ProfileOptionBuilder


def quiet(options):
    return OPTIONS(options).with_empty_output().build()


def test_parameters(output, capsys):
    found = tf.profiler.profile(options=OPTIONS.trainable_variables_parameter())
    assert found.total_parameters == 3340
    assert [c.name for c in found.children] == ["net"]
    names = [(c.name, c.parameters) for c in found.children[0].children]
    assert names == [("net/b", 5), ("net/v", 3200), ("net/w", 135)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["node", "name", "params"]
    assert [line.split() for line in lines[1:3]] == [["_TFProfRoot", "0/3340"], ["net", "0/3340"]]
    all_of_them = quiet(OPTIONS().with_accounted_types(["Variable.*"]).select(["params"]).build())
    assert tf.profiler.profile(options=all_of_them).total_parameters == 3347


def test_float_operations(output, tmp_path):
    path = tmp_path / "table"
    options = OPTIONS(OPTIONS.float_operation()).with_file_output(str(path)).build()
    by_type = tf.profiler.profile(cmd="op", options=options)
    counts, message = {}, by_type
    while message.children:
        (message,) = message.children
        counts[message.name] = message.float_ops
    assert list(counts.items())[:2] == [("Conv2D", 69120), ("MatMul", 25600)]
    assert counts["BiasAdd"] == 1280
    assert counts["Softmax"] == 200
    assert by_type.total_float_ops == sum(counts.values())
    assert path.read_text().splitlines()[1].split() == ["Conv2D", "69120"]
    by_scope = tf.profiler.profile(options=quiet(options))
    assert by_scope.total_float_ops == by_type.total_float_ops
    assert by_scope.children[0].name == "net"


def test_times_and_memory(output, device):
    profiler = tf.profiler.Profiler(tf.get_default_graph())
    with tf.device(device):
        z = tf.matmul(tf.ones([300, 300]), tf.placeholder(tf.float32, [300, 300], name="p"))
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        for step in range(3):
            metadata = tf.RunMetadata()
            options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            feeds = {"p:0": np.ones([300, 300])}
            session.run(z, feeds, options, metadata)
            profiler.add_step(step, metadata)
    options = quiet(OPTIONS.time_and_memory(min_bytes=0))
    found = profiler.profile_operations(options)
    assert found.children[0].name == "MatMul"
    assert found.children[0].exec_micros > 0
    one = profiler.profile_operations(options | {"step": 1})
    assert 0 < one.total_exec_micros < found.total_exec_micros
    tree = profiler.profile_name_scope(options)
    assert tree.total_exec_micros == found.total_exec_micros
    runs = {c.name: c.run_count for c in tree.children}
    assert runs[z.op.name] == 3


def test_names_and_depth(output):
    builder = OPTIONS().select(["params"]).with_empty_output()

    def names(**filters):
        def of(message):
            below = [name for child in message.children for name in of(child)]
            return below or [message.name]

        options = builder.with_node_names(
            **{"start_name_regexes": [".*"], "show_name_regexes": [".*"], "hide_name_regexes": [],
               "trim_name_regexes": [], **filters}
        ).build()  # fmt: skip
        return of(tf.profiler.profile(options=options))

    assert all(name.startswith("net/") for name in names(start_name_regexes=["net"]))
    assert not [n for n in names(trim_name_regexes=["net"]) if n.startswith("net")]
    assert names(show_name_regexes=["net/[bw]"]) == ["net/b", "net/w"]
    assert "net/b" not in names(hide_name_regexes=["net/b"])
    shallow = builder.with_max_depth(1).build()
    assert not [c for c in tf.profiler.profile(options=shallow).children if c.children]
    assert names(show_name_regexes=["none"]) == ["_TFProfRoot"]


def test_what_is_not_there(output):
    with pytest.raises(ValueError, match="cmd='scope' or 'op'"):
        tf.profiler.profile(cmd="code")
    with pytest.raises(ValueError, match="sorts by one of"):
        tf.profiler.profile(options=OPTIONS().order_by("beauty").build())
