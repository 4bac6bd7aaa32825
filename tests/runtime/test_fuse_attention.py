"""Attention as one group: what is known as one, and that it gives what the operations give."""

import numpy as np
import pytest

import tfsession as tf
from tfsession.core.rules import fusers
from tfsession.runtime import fuse_attention, source
from tfsession.testing import simulated_session

SHAPE = (2, 3, 5, 4)
Q, K, V = (np.random.default_rng(n).normal(size=SHAPE).astype(np.float32) for n in range(3))
MASK = np.where(np.arange(5) < 4, 0, -1e4).astype(np.float32)


def scores(q, k):
    return tf.matmul(q, k, transpose_b=True)


def plain(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(scores(q, k)), v)


def scaled(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(scores(q, k) * 0.5), v)


def divided(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(scores(q, k) / 4.0), v)


def masked(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(scores(q, k) + mask), v)


def bert(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(mask + tf.multiply(scores(q, k), 0.5)), v)


def turned(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(tf.matmul(q, tf.transpose(k, [0, 1, 3, 2]))), v)


def of_itself(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(scores(q, q)), q)


@pytest.fixture
def made(monkeypatch):
    """(scale, is_masked, transposed) of each attention, and how many of its kernel's calls."""
    found = []

    def noting(*arguments):
        nodes = fuse_attention.fused_attention(*arguments)
        found.extend(node for node in nodes if isinstance(node, fuse_attention.Attention))
        return nodes

    monkeypatch.setattr(source, "fused_attention", noting)
    return found


def run(build, device, feeds=(Q, K, V, MASK), steps=3):
    with tf.Graph().as_default(), tf.device(device):
        inputs = [tf.placeholder(tf.float32, [None] * x.ndim) for x in feeds]
        outputs = build(*inputs)
        with simulated_session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
            fed = dict(zip(inputs, feeds, strict=True))
            return [session.run(outputs, fed) for _ in range(steps)][-1]


def same(found, expected, tolerance=1e-6):
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, tolerance, tolerance)


JOINED = [
    (plain, (1.0, False, False)),
    (scaled, (0.5, False, False)),
    (divided, (0.25, False, False)),
    (masked, (1.0, True, False)),
    (bert, (0.5, True, False)),
    (turned, (1.0, False, True)),
    (of_itself, (1.0, False, False)),
]


@pytest.mark.parametrize(("build", "told"), JOINED)
def test_attention_is_a_group(made, monkeypatch, build, told):
    calls = []

    def kernel(xp, scale, is_masked, transposed):
        def computed(q, k, v, *mask):
            calls.append((scale, is_masked, transposed))
            scores = xp.matmul(q, k if transposed else k.swapaxes(-1, -2)) * np.float32(scale)
            scores = scores + mask[0] if mask else scores
            powers = xp.exp(scores - scores.max(axis=-1, keepdims=True))
            return xp.matmul(powers / powers.sum(axis=-1, keepdims=True), v)

        return computed

    monkeypatch.setattr(fuse_attention, "fusers", {"attention": kernel, "group": fusers["group"]})
    same(run(build, "/gpu:0"), run(build, "/cpu:0"))
    assert len(made) == 1
    assert calls
    assert set(calls) == {told}


@pytest.mark.parametrize("build", [build for build, _ in JOINED])
def test_without_a_card_it_gives_what_the_operations_give(made, monkeypatch, build):
    found = run(build, "/gpu:0")
    assert len(made) == 1
    monkeypatch.setattr(source, "fused_attention", lambda nodes, *_: nodes)
    np.testing.assert_array_equal(found, run(build, "/gpu:0"))


@pytest.mark.parametrize("build", [plain, bert])
def test_where_one_kernel_is_not_worth_it_softmax_is_one(made, monkeypatch, build):
    groups = []

    def noting(xp, calls, given, results):
        groups.append(len(calls))
        return fusers["group"](xp, calls, given, results)

    known = {"attention": lambda *_: lambda *_: None, "group": noting}
    monkeypatch.setattr(fuse_attention, "fusers", known)
    monkeypatch.setattr("tfsession.runtime.fuse_device.fusers", known)
    same(run(build, "/gpu:0"), run(build, "/cpu:0"))
    assert set(groups) == ({1} if build is plain else {3})


APART = [
    lambda q, k, v, mask: (lambda p: (p, tf.matmul(p, v)))(tf.nn.softmax(scores(q, k))),
    lambda q, k, v, mask: (lambda s: (s, tf.matmul(tf.nn.softmax(s), v)))(scores(q, k)),
    lambda q, k, v, mask: tf.gradients(plain(q, k, v, mask), [q, k, v]),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(scores(q, k)), v, transpose_a=True),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(scores(q, k)), v, adjoint_b=True)[..., :1],
    lambda q, k, v, mask: tf.matmul(v, tf.nn.softmax(scores(q, k)), transpose_a=True),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(tf.tanh(scores(q, k))), v),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(2.0 / scores(q, k)), v),
]


@pytest.mark.parametrize("build", APART)
def test_what_stays_apart(made, build):
    feeds = [Q, K, V[:, :, :, :4], MASK]
    if build is APART[4]:
        feeds[2] = np.ones((2, 3, 4, 5), np.float32)
    if build is APART[2]:
        same(run(build, "/gpu:0", feeds), run(build, "/cpu:0", feeds), 1e-5)
        assert made == []
        return
    same(run(build, "/gpu:0", feeds), run(build, "/cpu:0", feeds), 1e-4)
    assert made == []


def test_a_step_that_trains_keeps_what_gradients_read(made):
    def build(q, k, v, mask):
        out = bert(q, k, v, mask)
        return [out, *tf.gradients(out, [q, k, v])]

    same(run(build, "/gpu:0"), run(build, "/cpu:0"), 1e-5)
    assert made == []


@pytest.mark.parametrize("feeds", [(Q, K[..., :3], V, MASK), (Q, K, V[:, :2], MASK)])
def test_errors_name_the_operation(made, feeds):
    with pytest.raises(tf.errors.InvalidArgumentError, match="MatMul") as found:
        run(bert, "/gpu:0", feeds, steps=1)
    assert "matmul" in str(found.value).lower()
    assert len(made) == 1
