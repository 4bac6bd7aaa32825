"""tf.train.Saver: checkpoints that come back, those that are kept, and what cannot be saved."""

import os
from pathlib import Path

import numpy as np
import pytest

import tfsession as tf
from tfsession.train.saver_graph import SaverBuilder


def files(directory):
    return sorted(path.name for path in Path(directory).iterdir())


@pytest.fixture
def model(fresh_graph):
    """A graph with a variable of each kind, and a session in which they have values."""
    with tf.variable_scope("net"):
        ones = tf.ones_initializer()
        tf.get_variable("w", [2, 3], initializer=ones)
        tf.get_variable("r", [3], use_resource=True, initializer=ones)
        tf.get_variable("p", [10, 3], partitioner=tf.fixed_size_partitioner(3), initializer=ones)
        tf.get_variable("texts", initializer=tf.constant(["a", "bb"]))
    tf.train.get_or_create_global_step()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        yield session


def test_variables_of_each_kind_come_back(model, tmp_path):
    saver = tf.train.Saver()
    before = model.run(tf.global_variables())
    path = saver.save(model, str(tmp_path / "new" / "m"), global_step=tf.train.get_global_step())
    assert path == str(tmp_path / "new" / "m-0")
    assert files(tmp_path / "new") == [
        *("checkpoint", "m-0.data-00000-of-00001", "m-0.index", "m-0.meta"),
    ]
    with tf.Session() as other:
        saver.restore(other, path)
        for got, expected in zip(other.run(tf.global_variables()), before, strict=True):
            np.testing.assert_array_equal(got, expected)
    shapes = dict(tf.train.list_variables(str(tmp_path / "new")))
    assert shapes == {
        "global_step": [],
        "net/p": [10, 3],
        "net/r": [3],
        "net/texts": [2],
        "net/w": [2, 3],
    }
    np.testing.assert_array_equal(tf.train.load_variable(path, "net/p:0"), np.ones([10, 3]))
    assert tf.train.load_variable(path, "global_step") == 0


@pytest.mark.parametrize("sharded", [False, True])
def test_who_asks_is_told_how_far_it_is(model, tmp_path, sharded):
    saver = tf.train.Saver(sharded=sharded)
    for do in (saver.save, saver.restore):
        told = []
        do(model, str(tmp_path / "m"), progress=lambda *now, told=told: told.append(now))
        dones, totals = zip(*told, strict=True)
        assert list(dones) == sorted(dones)
        assert all(done <= total for done, total in told)
        assert dones[-1] == totals[-1] >= 4 * (6 + 3 + 30)

    def stop(done, total):
        raise RuntimeError("enough")

    with pytest.raises((RuntimeError, tf.errors.OpError), match="enough"):
        saver.save(model, str(tmp_path / "n"), progress=stop)
    assert not [name for name in files(tmp_path) if name.startswith("n.")]


def test_a_bar_is_shown_on_request(model, tmp_path, capsys):
    saver = tf.train.Saver()
    path = saver.save(model, str(tmp_path / "m"))
    saver.restore(model, path)
    assert capsys.readouterr() == ("", "")
    saver.save(model, path, progress=True)
    saver.restore(model, path, progress=True)
    out, shown = capsys.readouterr()
    assert out == ""
    saving, restoring = shown.splitlines()
    assert saving.startswith("Saving m ")
    assert restoring.startswith("Restoring m ")
    assert "bytes" in restoring


def test_slices_are_restored_into_other_slices(model, tmp_path):
    """Three slices on disk; the whole, and two slices, in the graph that reads them."""
    path = tf.train.Saver().save(model, str(tmp_path / "m"))
    with tf.Graph().as_default(), tf.variable_scope("net"), tf.Session() as session:
        whole = tf.get_variable("p", [10, 3])
        tf.train.Saver().restore(session, path)
        assert session.run(whole).tolist() == np.ones([10, 3]).tolist()
    with tf.Graph().as_default(), tf.variable_scope("net"), tf.Session() as session:
        halves = tf.get_variable("p", [10, 3], partitioner=tf.fixed_size_partitioner(2))
        tf.train.Saver().restore(session, path)
        assert session.run(tf.convert_to_tensor(halves)).tolist() == np.ones([10, 3]).tolist()


@pytest.mark.parametrize(
    ("options", "kept", "left"),
    [
        ({"max_to_keep": 2}, [2, 3], [2, 3]),
        ({"max_to_keep": 1}, [3], [3]),
        ({"max_to_keep": None}, [], [0, 1, 2, 3]),
        ({"max_to_keep": 0}, [], [0, 1, 2, 3]),
        ({"max_to_keep": 1, "keep_checkpoint_every_n_hours": 0.0}, [3], [0, 1, 2, 3]),
    ],
)
def test_which_checkpoints_are_kept(model, tmp_path, options, kept, left):
    prefix = str(tmp_path / "m")
    saver = tf.train.Saver(**options)
    for step in range(4):
        saver.save(model, prefix, global_step=step)
    assert saver.last_checkpoints == [f"{prefix}-{step}" for step in kept]
    for kind in (".index", ".meta", ".data-00000-of-00001"):
        assert [name for name in files(tmp_path) if name.endswith(kind)] == [
            f"m-{step}{kind}" for step in left
        ]
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert state.model_checkpoint_path == f"{prefix}-3"
    assert list(state.all_model_checkpoint_paths) == [f"{prefix}-{s}" for s in kept or [3]]
    assert tf.train.latest_checkpoint(str(tmp_path)) == f"{prefix}-3"


def test_a_saver_goes_on_where_another_ended(model, tmp_path):
    prefix = str(tmp_path / "m")
    first = tf.train.Saver(max_to_keep=2)
    names = [first.save(model, prefix, global_step=step) for step in range(2)]
    again = tf.train.Saver(max_to_keep=2)
    again.recover_last_checkpoints([*names, prefix + "-99"])
    assert again.last_checkpoints == names
    again.save(model, prefix, global_step=2)
    assert not tf.train.checkpoint_exists(names[0])
    assert not tf.train.checkpoint_exists(str(tmp_path / ("x" * 300)))
    assert tf.train.checkpoint_exists(names[1])
    assert len(tf.train.get_checkpoint_mtimes([*names, prefix + "-2"])) == 2
    tf.train.remove_checkpoint(names[1])
    assert not [name for name in files(tmp_path) if name.startswith("m-1")]


def test_relative_paths_and_padded_steps(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saver = tf.train.Saver(pad_step_number=True, save_relative_paths=True)
    assert saver.save(model, str(tmp_path / "d" / "m"), 7) == str(tmp_path / "d" / "m-00000007")
    text = (tmp_path / "d" / "checkpoint").read_text()
    assert text.startswith('model_checkpoint_path: "m-00000007"\n')
    os.rename("d", "moved")  # noqa: PTH104
    assert tf.train.latest_checkpoint("moved") == "moved/m-00000007"
    assert tf.train.latest_checkpoint("d") is None
    assert saver.save(model, "here", latest_filename="mine", write_meta_graph=False) == "here"
    assert tf.train.latest_checkpoint(".", "mine") == "./here"
    assert not Path("here.meta").exists()


def test_shards_and_the_first_format(model, tmp_path):
    before = model.run(tf.global_variables())
    sharded = tf.train.Saver(sharded=True)
    first = tf.train.Saver(write_version=tf.train.SaverDef.V1)
    paths = [sharded.save(model, str(tmp_path / "s" / "m")), first.save(model, str(tmp_path / "o"))]
    assert files(tmp_path) == ["checkpoint", "o", "o.meta", "s"]
    assert files(tmp_path / "s")[1:3] == ["m.data-00000-of-00001", "m.index"]
    for path in paths:
        assert tf.train.latest_checkpoint(os.path.dirname(path)) == path  # noqa: PTH120
        for saver in (sharded, first):
            with tf.Session() as other:
                saver.restore(other, path)
                for got, expected in zip(other.run(tf.global_variables()), before, strict=True):
                    np.testing.assert_array_equal(got, expected)


def test_variables_on_several_devices(fresh_graph, tmp_path, device):
    with tf.device(device):
        w = tf.Variable([1.0, 2.0], name="w")
        r = tf.Variable([3.0], name="r", use_resource=True)
    with tf.device("/cpu:0"):
        c = tf.Variable([4], name="c")
    savers = [tf.train.Saver(), tf.train.Saver(sharded=True)]
    config = tf.ConfigProto(allow_soft_placement=True)
    with tf.Session(config=config) as session:
        session.run(tf.global_variables_initializer())
        paths = [saver.save(session, str(tmp_path / f"m{n}")) for n, saver in enumerate(savers)]
    shards = [name for name in files(tmp_path) if name.startswith("m1.data")]
    assert len(shards) == (1 if device == "/cpu:0" else 2)
    for path in paths:
        for saver in savers:
            with tf.Session(config=config) as session:
                saver.restore(session, path)
                assert [v.tolist() for v in session.run([w, r, c])] == [[1, 2], [3], [4]]


def test_other_names_shapes_and_times(model, tmp_path):
    path = tf.train.Saver().save(model, str(tmp_path / "m"))
    other = tf.Variable(np.zeros([3, 2], np.float32), name="other")
    renamed = tf.Variable(np.zeros([2, 3], np.float32), name="renamed")
    late = tf.train.Saver(defer_build=True)
    tf.train.Saver({"net/w": renamed}).restore(model, path)
    tf.train.Saver({"net/w": other}, reshape=True).restore(model, path)
    assert model.run([other, renamed])[0].tolist() == np.ones([3, 2]).tolist()
    assert model.run(renamed).tolist() == np.ones([2, 3]).tolist()
    with pytest.raises(RuntimeError, match="`build\\(\\)` should be called before save"):
        late.save(model, str(tmp_path / "late"))
    late.build()
    late.save(model, str(tmp_path / "late"))
    assert "other" in dict(tf.train.list_variables(str(tmp_path / "late")))


def test_saver_defs(model, tmp_path):
    saver = tf.train.Saver(max_to_keep=3, name="mine")
    definition = saver.as_saver_def()
    assert definition is saver.to_proto()
    assert definition.restore_op_name == "mine/restore_all"
    assert saver.to_proto("mine").restore_op_name == "restore_all"
    assert saver.to_proto("elsewhere") is None
    again = tf.train.Saver.from_proto(definition)
    again.restore(model, again.save(model, str(tmp_path / "m")))
    with pytest.raises(ValueError, match="must specify the save_tensor_name"):
        tf.train.Saver(saver_def=tf.train.SaverDef())


def _constant():
    return tf.constant(1)


def _variable():
    return tf.Variable([1.0], name="v")


REFUSED = [
    (lambda: tf.train.Saver(), ValueError, "No variables to save"),
    (lambda: tf.train.Saver([_variable()] * 2), ValueError, "At least two variables have the same"),
    (lambda: tf.train.Saver(dict.fromkeys("ab", _variable())), ValueError, "restored with two nam"),
    (lambda: tf.train.Saver({"a": _constant()}), TypeError, "Not a variable: Tensor"),
    (lambda: tf.train.Saver([_constant()]), TypeError, "Variable to save is not a Variable: T"),
    (lambda: tf.train.Saver(3), TypeError, "should be passed in a dict or a list. Got 3"),
    (lambda: tf.train.Saver({3: _variable()}), TypeError, "Name is not a string: 3"),
    (lambda: tf.train.Saver([_variable()], defer_build=True), ValueError, "cannot be deferred"),
    (lambda: tf.train.Saver({"a": [_variable()]}), ValueError, "Slices must all be slices"),
]


@pytest.mark.parametrize("row", REFUSED, ids=[row[2][:20] for row in REFUSED])
def test_what_cannot_be_saved(fresh_graph, row):
    make, kind, text = row
    with pytest.raises(kind, match=text):
        make()


def test_nothing_to_save(fresh_graph, tmp_path):
    saver = tf.train.Saver(allow_empty=True)
    with tf.Session() as session:
        assert saver.save(session, str(tmp_path / "m")) is None
        saver.restore(session, str(tmp_path / "m"))
    assert files(tmp_path) == ["m.meta"]


def test_wrong_arguments_and_missing_checkpoints(model, tmp_path):
    saver = tf.train.Saver()
    prefix = str(tmp_path / "m")
    for call, kind, text in [
        (lambda: saver.save(None, prefix), TypeError, "'sess' must be a Session; None"),
        (lambda: saver.save(model, str(tmp_path / "checkpoint")), ValueError, "collides with"),
        (lambda: saver.save(model, prefix, latest_filename="a/b"), ValueError, "path components"),
        (lambda: saver.restore(model, None), ValueError, "Can't load save_path when it is None"),
        (lambda: saver.restore(model, prefix), ValueError, "is not a valid checkpoint: .*m$"),
        (lambda: tf.train.load_checkpoint(prefix), tf.errors.NotFoundError, "any matching files"),
        (lambda: tf.train.load_checkpoint(str(tmp_path)), ValueError, "Couldn't find 'checkpoint"),
    ]:
        with pytest.raises(kind, match=text):
            call()
    assert files(tmp_path) == []
    assert tf.train.get_checkpoint_state(prefix) is None
    (tmp_path / "checkpoint").write_text("nonsense {")
    assert tf.train.latest_checkpoint(str(tmp_path)) is None
    (tmp_path / "checkpoint").write_text("")
    with pytest.raises(ValueError, match="Invalid checkpoint state loaded from"):
        tf.train.get_checkpoint_state(str(tmp_path))


def test_a_checkpoint_that_does_not_fit(model, tmp_path):
    path = tf.train.Saver().save(model, str(tmp_path / "m"))
    doubles = tf.Variable(np.zeros([2, 3]), name="doubles")
    larger = tf.Variable(np.zeros([3, 3], np.float32), name="larger")
    resource = tf.Variable(np.zeros([4], np.float32), name="resource", use_resource=True)
    for named, kind, text in [
        ({"zz": larger}, tf.errors.NotFoundError, "missing from the .*\n\n.*Key zz not found in"),
        ({"net/w": doubles}, tf.errors.InvalidArgumentError,
         "a mismatch between .*\n\n.*expected dtype double does not equal original dtype float"),
        ({"net/w": larger}, tf.errors.InvalidArgumentError,
         r"\n\n.*Assign requires shapes of both tensors to match. lhs shape= \[3,3\] rhs shape"),
    ]:  # fmt: skip
        saver = tf.train.Saver(named)
        with pytest.raises(kind, match=f"(?s)Restoring from checkpoint failed.*{text}"):
            saver.restore(model, path)
    # A resource variable takes on the shape that it finds.
    tf.train.Saver({"net/r": resource}).restore(model, path)
    assert model.run(resource).tolist() == [1, 1, 1]


def test_a_damaged_checkpoint(model, tmp_path):
    saver = tf.train.Saver()
    path = saver.save(model, str(tmp_path / "m"))
    data = tmp_path / "m.data-00000-of-00001"
    good = data.read_bytes()
    data.write_bytes(good[:-1] + b"x")
    with pytest.raises(tf.errors.DataLossError, match="Checksum does not match: stored"):
        saver.restore(model, path)
    data.unlink()
    with pytest.raises(tf.errors.NotFoundError, match="data-00000-of-00001; No such file"):
        saver.restore(model, path)
    data.write_bytes(good)
    saver.restore(model, path)


def test_a_save_that_fails_leaves_the_old_checkpoint(model, tmp_path):
    saver = tf.train.Saver()
    path = saver.save(model, str(tmp_path / "m"))
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    new = tf.Variable([1.0], name="new")
    with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value new"):
        tf.train.Saver().save(model, path)
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before
    model.run(new.initializer)
    tf.train.Saver().save(model, path)


def test_readers(model, tmp_path):
    path = tf.train.Saver().save(model, str(tmp_path / "m"))
    reader = tf.train.NewCheckpointReader(path)
    assert reader.has_tensor("net/w")
    assert not reader.has_tensor("net")
    assert reader.get_variable_to_dtype_map()["net/texts"] == tf.string
    assert reader.get_variable_to_shape_map()["net/p"] == [10, 3]
    assert reader.get_tensor("net/texts").tolist() == [b"a", b"bb"]
    assert isinstance(reader.get_tensor("global_step"), np.int64)
    assert b"net/w (DT_FLOAT) [2,3]\n" in reader.debug_string()
    with pytest.raises(tf.errors.NotFoundError, match="Key zz not found in checkpoint"):
        reader.get_tensor("zz")
    with pytest.raises(TypeError, match="Expected a text, got 3"):
        reader.has_tensor(3)


def test_savable_objects_of_programs(fresh_graph, tmp_path):
    """A variable that is saved as its square: restored through the object's own operation."""
    v = tf.Variable([3.0], name="v")

    class Squared(SaverBuilder.SaveableObject):
        def __init__(self):
            spec = SaverBuilder.SaveSpec(tf.square(v), "", "squared")
            super().__init__(v.op, [spec], "squared")

        def restore(self, restored_tensors, restored_shapes):
            return tf.assign(v, tf.sqrt(restored_tensors[0]))

    tf.add_to_collection(tf.GraphKeys.SAVEABLE_OBJECTS, Squared())
    saver = tf.train.Saver(tf.get_collection(tf.GraphKeys.SAVEABLE_OBJECTS))
    with tf.Session() as session:
        session.run(v.initializer)
        path = saver.save(session, str(tmp_path / "m"))
        assert tf.train.load_variable(path, "squared").tolist() == [9]
        session.run(v.assign([0.0]))
        saver.restore(session, path)
        assert session.run(v).tolist() == [3]


@pytest.mark.parametrize("version", [tf.train.SaverDef.V1, tf.train.SaverDef.V2])
@pytest.mark.parametrize("sharded", [False, True])
def test_what_killed_saves_have_left_is_deleted(tmp_path, fresh_graph, version, sharded):
    """By the next save to the same name, an hour later."""
    tf.get_variable("v", initializer=1.0)
    saver = tf.train.Saver(sharded=sharded, write_version=version)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        saver.save(session, str(tmp_path / "m"))
        kept = {path.name for path in tmp_path.iterdir()}
        (tmp_path / "m_temp").mkdir()
        old = [tmp_path / f"{name}.tempstate12" for name in kept if not name.endswith(".meta")]
        old += [tmp_path / "m_temp" / "part-00000-of-00001.index.tempstate3"]
        new = [tmp_path / f"{name}.tempstate77" for name in kept]
        for path in old + new:
            path.write_bytes(b"half")
        for path in [*old, tmp_path / "m_temp"]:
            os.utime(path, (0, 0))
        saver.save(session, str(tmp_path / "m"))
    left = {path.name for path in tmp_path.iterdir()}
    assert left - {"m_temp"} == kept | {path.name for path in new}
    assert (tmp_path / "m_temp").exists() == (not sharded)
