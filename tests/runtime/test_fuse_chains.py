"""Convolutions one behind the other, in pieces that threads take: the same as one by one."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.devices import threads
from tfsession.kernels import conv_library, conv_windows, conv_winograd
from tfsession.runtime import fuse_chains, fuse_convolutions
from tfsession.runtime.blocks import Unfit

OPTIONS = tf.OptimizerOptions(opt_level=tf.OptimizerOptions.L0)
L0 = tf.ConfigProto(graph_options=tf.GraphOptions(optimizer_options=OPTIONS))


@pytest.fixture
def ran(monkeypatch):
    """How many convolutions the chains had that have run; 0 for those that gave up."""
    found = []
    computed = fuse_chains.Chained.computed

    def counting(group, *arguments):
        compute = computed(group, *arguments)

        def count(*values):
            result = compute(*values)
            found.append(0 if result is None else len(group.parts))
            return result

        return count

    monkeypatch.setattr(fuse_chains.Chained, "computed", counting)
    monkeypatch.setattr(fuse_convolutions, "_SMALL", 1)
    monkeypatch.setattr(conv_winograd, "_BLOCK", 1 << 15)
    monkeypatch.setattr(conv_windows, "BLOCK", 4096)
    monkeypatch.setattr(conv_library, "_LEAST_PIECE", 1 << 10)
    caches = conv_winograd.suits, conv_winograd._known, conv_library._plan
    for known in caches:
        known.cache_clear()
    yield found
    for known in caches:
        known.cache_clear()


def _both(fetches, feeds):
    """What a session gives for all feeds, and one that does one operation after another."""
    found = []
    for config in (None, L0):
        with tf.Session(config=config) as session:
            session.run(tf.global_variables_initializer())
            found.append([session.run(fetches, feed) for feed in feeds])
    return found


@st.composite
def networks(draw):
    layers = st.fixed_dictionaries(
        {
            "of": st.sampled_from([0, 0, 0, 1, 2]),
            "extent": st.sampled_from([1, 3, 3, 5]),
            "stride": st.sampled_from([1, 1, 1, 2]),
            "padding": st.sampled_from(["SAME", "SAME", "VALID"]),
            "weights": st.sampled_from([tf.constant, tf.Variable]),
            "steps": st.lists(
                st.sampled_from(["bias", "vector", "shortcut", "itself", "relu", "pool"]),
                max_size=4,
            ),
        }
    )
    return {
        "shape": (draw(st.integers(1, 3)), draw(st.integers(9, 20)), draw(st.integers(9, 12)), 8),
        "layers": draw(st.lists(layers, min_size=3, max_size=6)),
        "hole": draw(st.sampled_from([None, None, np.nan, np.inf])),
        "fetched": draw(st.integers(0, 5)),
        "is_winograd": draw(st.booleans()),
    }


def _network(shape, layers, hole, fetched):
    """Convolutions of the images and of each other; what is fetched, and two batches."""
    rng = np.random.default_rng(0)
    x = tf.placeholder(tf.float32, [None, None, None, 8])
    made = [x]
    for layer in layers:
        before = made[-1 - layer["of"] % len(made)]
        w = rng.normal(0, 0.2, (layer["extent"], layer["extent"], 8, 8)).astype(np.float32)
        strides = [1, layer["stride"], layer["stride"], 1]
        padding = layer["padding"] if len(made) == 1 else "SAME"
        y = tf.nn.conv2d(before, layer["weights"](w), strides, padding)
        is_alike = layer["stride"] == 1 and padding == "SAME"
        for step in layer["steps"]:
            vector = layer["weights"](rng.normal(size=8).astype(np.float32))
            if step == "bias":
                y = tf.nn.bias_add(y, vector)
            elif step == "vector":
                y = vector + y
            elif step == "shortcut" and is_alike:
                y = y + before
            elif step == "itself":
                y = y + y
            elif step == "relu":
                y = tf.nn.relu(y)
        if "pool" in layer["steps"]:
            y = tf.nn.max_pool(y, [1, 2, 2, 1], [1, 1, 1, 1], "SAME")
        made.append(y)
    images = rng.normal(size=shape).astype(np.float32)
    if hole is not None:
        images[0, 4, 4, 3] = hole
    batches = [images, images[:, :9], images]
    return [made[-1], made[fetched % len(made)]], [{x: batch} for batch in batches]


@pytest.mark.parametrize("library", ["numpy", pytest.param("onednn", marks=pytest.mark.onednn)])
def test_a_chain_gives_what_its_operations_give(ran, library, monkeypatch):
    @settings(max_examples=40, deadline=None, database=None)
    @given(networks())
    def check(network):
        is_winograd = network.pop("is_winograd")
        monkeypatch.setattr(conv_winograd, "_START", -(10**12) if is_winograd else 10**12)
        conv_winograd.suits.cache_clear()
        with tf.Graph().as_default(), tf.device("/cpu:0"):
            one, other = _both(*_network(**network))
        for fused, plain in zip(one, other, strict=True):
            for value, expected in zip(fused, plain, strict=True):
                np.testing.assert_array_equal(value.view(np.uint32), expected.view(np.uint32))

    check()
    assert any(ran) or library == "numpy"  # which has all in pieces by Winograd only


def _tower(x, depth, weights=tf.constant):
    rng = np.random.default_rng(1)
    for _ in range(depth):
        w = rng.normal(0, 0.2, (3, 3, 8, 8)).astype(np.float32)
        x = tf.nn.relu(tf.nn.conv2d(x, weights(w), [1, 1, 1, 1], "SAME"))
    return x


X = np.random.default_rng(2).normal(size=(2, 17, 9, 8)).astype(np.float32)


@pytest.mark.onednn
@pytest.mark.parametrize("limit", [0, 1, 2, 7])
def test_any_number_of_threads_gives_the_same(fresh_graph, ran, limit):
    config = tf.ConfigProto(intra_op_parallelism_threads=limit)
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, None, 9, 8])
        y = _tower(x, 6)
    with tf.Session(config=config) as session, tf.Session(config=L0) as plain:
        np.testing.assert_array_equal(session.run(y, {x: X}), plain.run(y, {x: X}))
        assert threads.this_thread.limit == 0
    assert ran == [6]


@pytest.mark.onednn
def test_threads_of_the_program_share_a_chain(fresh_graph, ran):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, None, 9, 8])
        y = _tower(x, 4)
    found = {}
    with tf.Session() as session, tf.Session(config=L0) as plain:

        def work(number):
            found[number] = [session.run(y, {x: X * number}) for _ in range(20)]

        own = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in own:
            thread.start()
        for thread in own:
            thread.join()
        for number, values in found.items():
            expected = plain.run(y, {x: X * number})
            for value in values:
                np.testing.assert_array_equal(value, expected)
    assert ran == [4] * 80


@pytest.mark.onednn
def test_what_stands_between_convolutions_stays_in_order(fresh_graph, ran):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, 17, 9, 8])
        first = _tower(x, 2)
        mean = tf.reduce_mean(first)
        second = _tower(first, 1) * mean  # behind what is behind the first
        third = _tower(second, 2)
        last = _tower(x, 1)  # beside all of them
        one, other = _both([last, mean, third], [{x: X}])
    for fused, plain in zip(one[0], other[0], strict=True):
        np.testing.assert_allclose(fused, plain, rtol=1e-6)
    assert ran == [2, 4]


@pytest.mark.onednn
def test_results_are_given_back_when_they_are_read(fresh_graph, ran, monkeypatch):
    most = 0
    end = fuse_chains._Work._end

    def ended(work, number):
        nonlocal most
        end(work, number)
        most = max(most, sum(value is not None for value in work.values[work._chain.first :]))

    monkeypatch.setattr(fuse_chains._Work, "_end", ended)
    with tf.device("/cpu:0"), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 17, 9, 8])
        session.run(_tower(x, 12), {x: X})
    assert ran == [12]
    assert most <= 4


@pytest.mark.onednn
def test_what_fails_names_its_operation(fresh_graph, ran):
    with tf.device("/cpu:0"):
        x = tf.placeholder(tf.float32, [None, None, None, 8])
        y = _tower(x, 2)
        bias = tf.placeholder(tf.float32)
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(y, np.ones((3, 3, 8, 4), np.float32), [1] * 4,
                                                   "SAME"), bias, name="biased"))  # fmt: skip
    with tf.Session() as session:
        with pytest.raises(tf.errors.InvalidArgumentError, match="last dimension") as caught:
            session.run(y, {x: X, bias: np.ones(5)})
        assert caught.value.op.name == "biased"
        assert session.run(y, {x: X, bias: np.ones(4)}).shape == (2, 17, 9, 4)
    assert ran == [0, 3]


@pytest.mark.onednn
def test_nobody_waits_for_what_is_interrupted(fresh_graph, ran, monkeypatch):
    ended = []

    def interrupted(xp, rows, step, task):
        """A thread works on the last pieces, while Ctrl-C comes before the first is begun."""

        def work():
            with pytest.raises(Unfit):
                task(rows - 1, rows)
            ended.append(True)

        thread = threading.Thread(target=work)
        thread.start()
        threads_at_work.append(thread)
        raise KeyboardInterrupt

    threads_at_work = []
    with tf.device("/cpu:0"), tf.Session() as session:
        x = tf.placeholder(tf.float32, [None, 17, 9, 8])
        y = _tower(x, 3)
        expected = session.run(y, {x: X})
        with monkeypatch.context() as patch:
            patch.setattr(fuse_chains, "run_blocks", interrupted)
            with pytest.raises(KeyboardInterrupt):
                session.run(y, {x: X})
        threads_at_work[0].join(30)
        assert ended
        np.testing.assert_array_equal(session.run(y, {x: X}), expected)
