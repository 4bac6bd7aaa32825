"""The operations that write and read checkpoints, in both formats; formats: tests/checkpoint."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.graph.create import create_op

# What they do shows in files, which a row has none of.
COVERED = (
    *("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"),
    *("Save", "SaveSlices", "Restore", "RestoreSlice"),
)
VALUES = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b/c": np.int32(5),
    "texts": np.array([b"x", b"", b"y" * 300], object),
    "none": np.zeros((0, 2), np.float64),
}


def _save(prefix, values, specs=None):
    names = list(values)
    return create_op("SaveV2", [prefix, names, specs or [""] * len(names), list(values.values())])


def _restore(prefix, names, dtypes, specs=None):
    specs = specs or [""] * len(names)
    return create_op("RestoreV2", [prefix, names, specs], {"dtypes": dtypes})


@pytest.fixture
def prefix(tmp_path):
    return str(tmp_path / "sub" / "model")


def test_what_is_saved_is_restored_on_each_device(fresh_graph, prefix, device):
    with tf.device(device):
        variables = [
            tf.Variable(np.arange(6, dtype=np.float32).reshape(2, 3), name="v"),
            tf.Variable([1, 2], use_resource=True, name="r"),
        ]
    with tf.device("/cpu:0"):
        save = create_op("SaveV2", [prefix, ["v", "r"], ["", ""], variables])
        restore = _restore(prefix, ["v", "r"], [tf.float32, tf.int32])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(save)
        found = session.run(restore)
    assert found[0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found[1].tolist() == [1, 2]


def test_parts_make_up_the_whole_in_both_formats(fresh_graph, tmp_path):
    whole = np.arange(30, dtype=np.float32).reshape(10, 3)
    specs = ["10 3 0,4:-", "10 3 4,6:-"]
    data = [["p", "p"], specs, [whole[:4], whole[4:]]]
    saves = [
        create_op("SaveV2", [str(tmp_path / "two"), *data]),
        create_op("SaveSlices", [str(tmp_path / "one"), *data]),
    ]
    asked = ["", "10 3 2,5:1,2", "10 3 4,6:-", "10 3 0,0:-"]
    with tf.Session() as session:
        session.run(saves)
        for name in ("one", "two"):
            restore = _restore(str(tmp_path / name), ["p"] * 4, [tf.float32] * 4, asked)
            assert [t.shape.rank for t in restore] == [None, 2, 2, 2]
            found = session.run(restore)
            for got, expected in zip(
                found, [whole, whole[2:7, 1:3], whole[4:], whole[:0]], strict=True
            ):
                np.testing.assert_array_equal(got, expected)
        part = create_op(
            "RestoreSlice", [str(tmp_path / "one"), "p", "10 3 3,2:-"], {"dt": tf.float32}
        )
        assert session.run(part).tolist() == whole[3:5].tolist()


def test_the_first_format(fresh_graph, tmp_path):
    name = str(tmp_path / "one")
    save = create_op("Save", [name, list(VALUES), list(VALUES.values())])
    restores = [
        create_op("Restore", [name, key], {"dt": tf.as_dtype(value.dtype)})
        for key, value in VALUES.items()
    ]
    with tf.Session() as session:
        session.run(save)
        for got, expected in zip(session.run(restores), VALUES.values(), strict=True):
            np.testing.assert_array_equal(got, expected)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_merged_checkpoints_are_one(fresh_graph, tmp_path):
    parts = [str(tmp_path / "model_temp" / f"part-{i}") for i in range(2)]
    target = str(tmp_path / "model")
    saves = [_save(parts[0], {"a": VALUES["a"]}), _save(parts[1], {"texts": VALUES["texts"]})]
    with tf.control_dependencies(saves):
        merge = create_op("MergeV2Checkpoints", [parts, target])
    restore = _restore(target, ["a", "texts"], [tf.float32, tf.string])
    with tf.Session() as session:
        session.run(merge)
        found = session.run(restore)
    assert found[0].tolist() == VALUES["a"].tolist()
    assert found[1].tolist() == VALUES["texts"].tolist()
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["model.data-00000-of-00002", "model.data-00001-of-00002", "model.index"]


def test_names_of_shards(fresh_graph):
    with tf.Session() as session:
        assert session.run(create_op("ShardedFilename", ["a", 1, 12])) == b"a-00001-of-00012"
        assert session.run(create_op("ShardedFilespec", ["a", 12])) == b"a-?????-of-00012"


E = tf.errors
# What is asked of the checkpoint that holds VALUES: name, dtype, specification; the error.
REFUSED = [
    ("zz", tf.float32, "", E.NotFoundError, "Key zz not found in checkpoint"),
    ("a", tf.float64, "", E.InvalidArgumentError,
     "tensor_name = a; expected dtype double does not equal original dtype float"),
    ("a", tf.float32, "3 3 0,1:-", E.InvalidArgumentError,
     "tensor_name = a; shape in shape_and_slice spec [3,3] does not match the shape stored in "
     "checkpoint: [2,3]"),
]  # fmt: skip


@pytest.mark.parametrize("row", REFUSED, ids=[row[4][:12] for row in REFUSED])
def test_what_is_not_there(fresh_graph, prefix, row):
    name, dtype, spec, kind, text = row
    with tf.Session() as session:
        session.run(_save(prefix, VALUES))
        with pytest.raises(kind) as caught:
            session.run(_restore(prefix, [name], [dtype], [spec]))
        assert text in caught.value.message
        assert session.run(_restore(prefix, ["b/c"], [tf.int32])) == [5]


def test_failed_saves_leave_nothing_behind(fresh_graph, tmp_path, prefix):
    wrong = [
        ({"a": 1.0}, ["2 2 0,1:-"], E.InvalidArgumentError, "does not match the shape of the"),
        ({"a": 1.0}, ["x"], E.InvalidArgumentError, "Need least two elements"),
    ]
    twice = create_op("SaveV2", [prefix, ["p", "p"], ["", ""], [1.0, 2.0]])
    (tmp_path / "file").write_text("no directory")
    below_a_file = _save(str(tmp_path / "file" / "model"), {"a": 1.0})
    with tf.Session() as session:
        for values, specs, kind, text in wrong:
            with pytest.raises(kind, match=text):
                session.run(_save(prefix, values, specs))
        with pytest.raises(E.InvalidArgumentError, match="Adding duplicate key: p"):
            session.run(twice)
        with pytest.raises(E.OpError, match="file"):
            session.run(below_a_file)
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == [tmp_path / "file"]
        session.run(_save(prefix, VALUES))


@pytest.mark.parametrize(
    ("op", "inputs", "attrs", "text"),
    [
        ("RestoreV2", ["p", ["a"], ["x"]], {"dtypes": [tf.int32]}, "Need least two elements"),
        ("RestoreV2", ["p", ["a"], ["y 3 -"]], {"dtypes": [tf.int32]}, "Non numerical dimension"),
        ("RestoreV2", ["p", ["a"], ["3 5,"]], {"dtypes": [tf.int32]}, "Expected a pair of numbers"),
        ("RestoreV2", ["p", ["a"], ["3 2,2"]], {"dtypes": [tf.int32]}, "out of bounds"),
        ("RestoreV2", ["p", ["a"], ["3 -:-"]], {"dtypes": [tf.int32]}, "Ranks of shape and slice"),
        ("RestoreV2", ["p", ["a", "b"], [""]], {"dtypes": [tf.int32]}, "Shapes are [2] and [1]"),
        ("RestoreV2", ["p", ["a"], [""]], {"dtypes": [tf.int32] * 2}, "doesn't match tensor out"),
        ("RestoreV2", [["p"], ["a"], [""]], {"dtypes": [tf.int32]}, "must be rank 0"),
        ("SaveV2", ["p", ["a", "b"], [""], [1.0]], None, "Dimension 0 in both shapes"),
        ("MergeV2Checkpoints", ["p", "q"], None, "must be rank 1"),
    ],
)  # fmt: skip
def test_what_the_graph_refuses(fresh_graph, op, inputs, attrs, text):
    with pytest.raises(ValueError) as caught:
        create_op(op, inputs, attrs)
    assert text in str(caught.value)
