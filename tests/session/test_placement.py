"""Placement as users of a session meet it: where things go, and what is left after an error."""

import logging

import pytest

import tfsession as tf

FULL = "/job:localhost/replica:0/task:0/device:"


def config(**options):
    simulated = tf.DeviceOptions(simulated_gpus="2:64MiB") if options.pop("gpus", True) else None
    return tf.ConfigProto(device_options=simulated, **options)


def test_gpus_come_first(fresh_graph, capsys, caplog):
    with tf.Session(config=config(log_device_placement=True)) as session:
        with tf.device("/gpu:1"):
            x = tf.constant([1.0, 2.0], name="x")
        y = tf.negative(x, name="y")
        text = tf.identity(tf.constant("text"))
        assert session.run(y).tolist() == [-1.0, -2.0]
        placed = session.placement()
    assert placed["x"] == f"{FULL}GPU:1"
    assert placed["y"] == f"{FULL}GPU:0"
    assert placed[text.op.name] == f"{FULL}CPU:0"
    assert f"y: (Neg): {FULL}GPU:0" in capsys.readouterr().out.splitlines()


def test_the_mapping_is_told_once(fresh_graph, caplog):
    with caplog.at_level(logging.INFO, "tfsession"):
        tf.Session(config=config(log_device_placement=True)).close()
    (told,) = [text for text in caplog.messages if text.startswith("Device mapping:")]
    assert [line.split(" -> ")[0] for line in told.splitlines()[1:]] == [
        f"{FULL}GPU:0",
        f"{FULL}GPU:1",
    ]


@pytest.mark.parametrize(
    ("listed", "phrase"),
    [
        ("x", "Could not parse entry in 'visible_device_list': 'x'. visible_device_list = x"),
        (
            "2",
            "'visible_device_list' listed an invalid Device id '2' but visible device count is 2",
        ),
        ("1,0,1", "visible_device_list contained a duplicate entry: 1,0,1"),
    ],
)
def test_a_list_of_cards_that_cannot_be(fresh_graph, monkeypatch, listed, phrase):
    options = tf.GPUOptions(visible_device_list=listed)
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.Session(config=config(gpu_options=options))
    assert caught.value.message == phrase
    # Where there is no GPU, nobody reads it.
    monkeypatch.setenv("TFSESSION_DISABLE_GPU", "1")
    monkeypatch.delenv("TFSESSION_SIMULATED_GPUS", raising=False)
    tf.Session(config=config(gpus=False, gpu_options=options)).close()


@pytest.mark.parametrize(
    ("listed", "count", "cards"), [("1,0", 2, [1, 0]), ("1", 5, [1]), ("", 1, [0])]
)
def test_cards_are_numbered_as_listed(fresh_graph, caplog, listed, count, cards):
    options = tf.GPUOptions(visible_device_list=listed)
    with caplog.at_level(logging.INFO, "tfsession"):
        made = config(gpu_options=options, device_count={"GPU": count}, log_device_placement=True)
        tf.Session(config=made).close()
    told = [line for line in caplog.text.splitlines() if " -> device: " in line]
    assert [line.split(",")[0] for line in told] == [
        f"{FULL}GPU:{index} -> device: {card}" for index, card in enumerate(cards)
    ]


BAD = {
    "no such device": (lambda v: "/gpu:7", None),
    "no such job": (lambda v: "/job:ps", None),
    "garbage": (lambda v: "garbage", None),
    "a group": (lambda v: "/cpu:0", "v"),
}


@pytest.mark.parametrize("row", BAD)
def test_the_session_after_an_error(fresh_graph, row):
    """State is untouched, and the next run that can be placed is placed."""
    device, group = BAD[row]
    with tf.device("/gpu:1"):
        variable = tf.Variable(1.0, name="v", use_resource=True)
    add = variable.assign_add(1.0)
    with tf.Session(config=config()) as session:
        session.run(variable.initializer)
        call = session.make_callable(add)
        before = session.placement()
        bad = tf.constant(3.0, name="bad")
        bad.op._set_device(device(variable))
        if group:
            bad.op.attrs["_class"] = [b"loc:@" + group.encode()]
        for run in (lambda: session.run(add), lambda: session.run(bad), session.placement):
            with pytest.raises(tf.errors.InvalidArgumentError) as caught:
                run()
            assert caught.value.op is bad.op
            assert "bad" in caught.value.message
        assert call() == 2.0  # it asks for no more of the graph than it did
        bad.op._set_device("")
        assert session.run([add, bad]) == [3.0, 3.0]
        after = session.placement()
    assert {op: after[op] for op in before} == before
    assert not group or after["bad"] == f"{FULL}GPU:1"


def test_soft_placement_never_leaves_the_task(fresh_graph):
    with tf.Session(config=config(allow_soft_placement=True)) as session:
        with tf.device("/job:localhost/gpu:7"):
            near = tf.constant(1.0)
        assert session.run(near) == 1.0
        with tf.device("/job:ps/gpu:0"):
            far = tf.constant(1.0)
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="assigned to /job:ps/device:GPU:0"
        ):
            session.run(far)


def test_a_pruned_graph_is_placed_by_itself(fresh_graph):
    pruned = tf.GraphOptions(place_pruned_graph=True)
    with tf.device("/gpu:7"):
        bad = tf.constant(1.0, name="bad")
    with tf.device("/gpu:1"):
        good = tf.negative(bad)
    with tf.Session(config=config(graph_options=pruned)) as session:
        assert session.run(good, {bad: 2.0}) == -2.0
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(good)
        assert session.run(good, {bad: 3.0}) == -3.0
