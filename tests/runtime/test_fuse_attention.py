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
    """The groups of attentions, and of their gradients."""
    found = []

    def noting(*arguments):
        nodes = fuse_attention.fused_attention(*arguments)
        kinds = fuse_attention.Attention, fuse_attention.AttentionGradient
        found.extend(node for node in nodes if isinstance(node, kinds))
        return nodes

    monkeypatch.setattr(source, "fused_attention", noting)
    return found


def run(build, device, feeds=(Q, K, V, MASK), steps=3, sizes=(None,) * 4):
    """What a step gives that is run so often; of a size the graph knows, or it is None."""
    with tf.Graph().as_default(), tf.device(device):
        inputs = [
            tf.placeholder(
                tf.float32, [size and x.shape[i] for i, size in enumerate(sizes[: x.ndim])]
            )
            for x in feeds
        ]
        outputs = build(*inputs)
        with simulated_session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
            fed = dict(zip(inputs, feeds, strict=True))
            return [session.run(outputs, fed) for _ in range(steps)][-1]


def same(found, expected, tolerance=1e-6):
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, tolerance, tolerance)


def aside(q, k, v, mask):
    return tf.matmul(tf.nn.softmax(tf.where_v2(mask < -1.0, -1e9, scores(q, k) * 0.5)), v)


def filled(q, k, v, mask):
    s = scores(q, k)
    seen = tf.matrix_band_part(tf.ones([*SHAPE[:2], 5, 5]), -1, 0)
    s.set_shape([*SHAPE[:2], 5, 5])
    return tf.matmul(tf.nn.softmax(tf.where(tf.equal(seen, 0), tf.ones_like(s) * -1e9, s)), v)


def gpt(q, k, v, mask):
    seen = tf.matrix_band_part(tf.ones([5, 5]), -1, 0)
    return tf.matmul(tf.nn.softmax(scores(q, k) * seen - 1e9 * (1 - seen)), v)


JOINED = [
    (plain, [], False),
    (scaled, [("scale", 0.5)], False),
    (divided, [("scale", 0.25)], False),
    (masked, [("add", 0)], False),
    (bert, [("scale", 0.5), ("add", 0)], False),
    (turned, [], True),
    (of_itself, [], False),
    (aside, [("scale", 0.5), ("where_not", -1e9)], False),
    (filled, [("where_not", -1e9)], False),
    (gpt, [("times", 0), ("subtract", 0)], False),
]


def changed(xp, x, changes, masks):
    """Scores with what is done to them, and what their gradients go through."""
    through = xp.ones(x.shape, x.dtype)
    for kind, number in changes:
        mask = None if kind == "scale" else next(masks)
        if kind in ("scale", "times"):
            factor = np.float32(number) if kind == "scale" else mask
            x, through = x * factor, through * factor
        elif kind in ("add", "subtract"):
            x = x + mask if kind == "add" else x - mask
        else:
            kept = mask if kind == "where" else ~mask
            x, through = xp.where(kept, x, np.float32(number)), xp.where(kept, through, 0)
    return x, through


class Kernels:
    """Stand in for the kernels of a card: they keep what these keep, and make shares again."""

    def __init__(self, monkeypatch, worth=True):
        self.told, self.backwards, self._worth = [], [], worth
        known = {"attention": self.forward, "attention_gradient": self.backward}
        monkeypatch.setattr(fuse_attention, "fusers", known)

    @staticmethod
    def _powers(xp, q, k, masks, told):
        scores, through = changed(xp, xp.matmul(q, k.swapaxes(-1, -2)), told, masks)
        top = scores.max(axis=-1, keepdims=True)
        return xp.exp(scores - top), top, through

    def forward(self, xp, changes, shares, transposed, keeps):
        def computed(q, k, v, *masks):
            self.told.append((changes, shares, transposed, keeps))
            masks = iter(masks)
            k = k.swapaxes(-1, -2) if transposed else k
            powers, top, _ = self._powers(xp, q, k, masks, changes)
            total = powers.sum(axis=-1, keepdims=True)
            given, _ = changed(xp, powers / total, shares, masks)
            result = xp.matmul(given, v)
            kept = (top + 1j / total)[..., 0]
            return (result, kept) if keeps else result

        return computed if self._worth else lambda *_: None

    def backward(self, xp, changes, shares, transposed):
        def computed(q, k, v, result, slope, kept, *masks):
            self.backwards.append((kept.shape, kept.dtype))
            masks = iter(masks)
            k = k.swapaxes(-1, -2) if transposed else k
            scores, through = changed(xp, xp.matmul(q, k.swapaxes(-1, -2)), changes, masks)
            kept = kept[..., None]
            powers = xp.exp(scores - kept.real) * kept.imag
            given, behind = changed(xp, powers, shares, masks)
            of_shares = xp.matmul(slope, v.swapaxes(-1, -2)) * behind
            dots = (slope * result).sum(axis=-1, keepdims=True)
            inner = powers * (of_shares - dots) * through
            of_k = xp.matmul(inner.swapaxes(-1, -2), q)
            of_v = xp.matmul(given.swapaxes(-1, -2), slope)
            of_k = of_k.swapaxes(-1, -2) if transposed else of_k
            return [xp.matmul(inner, k), of_k, of_v]

        return computed


@pytest.mark.parametrize(("build", "told", "transposed"), JOINED)
def test_attention_is_a_group(made, monkeypatch, build, told, transposed):
    kernels = Kernels(monkeypatch)
    same(run(build, "/gpu:0"), run(build, "/cpu:0"))
    assert len(made) == 1
    assert kernels.told
    assert all(found == (told, [], transposed, False) for found in kernels.told)


@pytest.mark.parametrize("build", [build for build, *_ in JOINED])
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
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(scores(q, k)), v, transpose_a=True),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(scores(q, k)), v, adjoint_b=True)[..., :1],
    lambda q, k, v, mask: tf.matmul(v, tf.nn.softmax(scores(q, k)), transpose_a=True),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(tf.tanh(scores(q, k))), v),
    lambda q, k, v, mask: tf.matmul(tf.nn.softmax(2.0 / scores(q, k)), v),
]


@pytest.mark.parametrize("build", APART)
def test_what_stays_apart(made, build):
    feeds = [Q, K, V[:, :, :, :4], MASK]
    if build is APART[3]:
        feeds[2] = np.ones((2, 3, 4, 5), np.float32)
    same(run(build, "/gpu:0", feeds), run(build, "/cpu:0", feeds), 1e-4)
    assert made == []


def test_gradients_are_known_whatever_sizes_are(made):
    function = trained(bert)
    same(run(function, "/gpu:0"), run(function, "/cpu:0"), 2e-5)
    assert len(made) == 2


@pytest.mark.parametrize("which", [0, 2, 3])
def test_gradients_of_what_is_spread_go_the_usual_way(made, monkeypatch, which):
    """One of a batch for all of them, or a mask that makes more scores."""
    feeds = [Q, K, V, MASK]
    feeds[which] = feeds[which][:1] if which < 3 else np.stack([MASK, MASK])[:, None, None]
    feeds = feeds if which < 3 else [*(x[:1] for x in feeds[:3]), feeds[3]]
    function = trained(bert)
    same(run(function, "/gpu:0", feeds), run(function, "/cpu:0", feeds), 2e-5)
    assert len(made) == 2


# --- gradients ------------------------------------------------------------------------------------

STATIC = (1,) * 4


def trained(build, *which):
    """A function that gives an attention's result and its gradients for these of Q, K and V."""

    def function(q, k, v, mask):
        out = build(q, k, v, mask)
        return [out, *tf.gradients(out * out * out, [(q, k, v)[i] for i in which or range(3)])]

    return function


def dropped(q, k, v, mask):
    shares = tf.nn.softmax(scores(q, k) * 0.5 + mask)
    return tf.matmul(tf.nn.dropout(shares, rate=0.25, seed=3), v)


def twice(q, k, v, mask):
    return bert(q, k, bert(k, q, v, mask), mask)


TRAINED = [build for build, *_ in JOINED if build is not of_itself] + [dropped, twice]
# What the graph knows of sizes; where it does not, gradients are summed up as a step's shapes tell.
ROWS = [(build, STATIC) for build in TRAINED]
ROWS += [
    (build, sizes)
    for build in TRAINED
    for sizes in [(None, 1, 1, 1), (None, 1, None, 1)]
    if build is not filled
]


@pytest.mark.parametrize(("build", "sizes"), ROWS)
def test_gradients_are_a_group(made, monkeypatch, build, sizes):
    kernels = Kernels(monkeypatch)
    found = run(trained(build), "/gpu:0", sizes=sizes)
    monkeypatch.undo()
    same(found, run(trained(build), "/cpu:0", sizes=sizes), 2e-5)
    assert len(made) == (4 if build is twice else 2)
    assert set(kernels.backwards) == {(SHAPE[:3], np.dtype("complex64"))}
    assert all(keeps for *_, keeps in kernels.told)


@pytest.mark.parametrize(("build", "sizes"), ROWS)
def test_gradients_without_a_card_are_those_of_the_operations(made, monkeypatch, build, sizes):
    found = run(trained(build), "/gpu:0", sizes=sizes)
    assert len(made) == (4 if build is twice else 2)
    monkeypatch.setattr(source, "fused_attention", lambda nodes, *_: nodes)
    same(found, run(trained(build), "/gpu:0", sizes=sizes), 1e-6)


@pytest.mark.parametrize("which", [(0,), (1,), (0, 2), (1, 2)])
def test_gradients_that_nobody_reads_are_left_out(made, monkeypatch, which):
    Kernels(monkeypatch)
    function = trained(bert, *which)
    found = run(function, "/gpu:0", sizes=STATIC)
    assert [len(node.op.outputs) for node in made] == [2, len(which)]
    monkeypatch.undo()
    same(found, run(function, "/cpu:0", sizes=STATIC), 2e-5)


@pytest.mark.parametrize("build", [bert, gpt, dropped])
def test_a_training_step_computes_gradients_so(made, monkeypatch, build):
    """An optimizer waits for all gradients of an operation before it uses one."""

    def losses(device):
        tf.set_random_seed(1)
        with tf.device(device):
            x = tf.placeholder(tf.float32, [None, 5, 12])
            w = tf.Variable(np.random.default_rng(5).normal(0, 0.3, (12, 36)).astype(np.float32))
            three = tf.reshape(tf.matmul(tf.reshape(x, [-1, 12]), w), [-1, 5, 3, 3, 4])
            q, k, v = tf.unstack(tf.transpose(three, [2, 0, 3, 1, 4]))
            loss = tf.reduce_mean(tf.square(build(q, k, v, tf.constant(MASK)) - 1.0))
            step = tf.train.GradientDescentOptimizer(0.5).minimize(loss)
        with simulated_session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
            session.run(tf.global_variables_initializer())
            value = np.random.default_rng(6).normal(size=(2, 5, 12)).astype(np.float32)
            return [session.run([loss, step], {x: value})[0] for _ in range(5)]

    Kernels(monkeypatch)
    with tf.Graph().as_default():
        found = losses("/gpu:0")
    assert len([n for n in made if isinstance(n, fuse_attention.AttentionGradient)]) == 1
    monkeypatch.undo()
    with tf.Graph().as_default():
        same(found, losses("/cpu:0"), 1e-5)


def test_shares_that_were_not_kept_are_made_again_where_there_is_no_code(made, monkeypatch):
    kernels = Kernels(monkeypatch)
    monkeypatch.setattr(kernels, "backward", lambda *_: lambda *_: None)
    fuse_attention.fusers["attention_gradient"] = kernels.backward
    found = run(trained(dropped), "/gpu:0", sizes=STATIC)
    assert len(made) == 2
    assert kernels.told
    monkeypatch.undo()
    same(found, run(trained(dropped), "/cpu:0", sizes=STATIC), 2e-5)


TRAINED_APART = [
    # What else is read: of what is made on the way, forwards and backwards.
    lambda q, k, v, mask: (lambda p: (p, *tf.gradients(tf.matmul(p, v), [q])))(
        tf.nn.softmax(scores(q, k))
    ),
    lambda q, k, v, mask: tf.gradients(bert(q, k, v, mask), [q, mask]),
    lambda q, k, v, mask: (lambda out: [*tf.gradients(out, [q]), *tf.gradients(out * out, [q])])(
        bert(q, k, v, mask)
    ),
    lambda q, k, v, mask: tf.gradients(bert(q, k, v, mask), [v]),
]


@pytest.mark.parametrize("build", TRAINED_APART)
def test_gradients_that_stay_apart(made, build):
    same(run(build, "/gpu:0", sizes=STATIC), run(build, "/cpu:0", sizes=STATIC), 2e-5)
    assert made == []


@pytest.mark.parametrize("feeds", [(Q, K[..., :3], V, MASK), (Q, K, V[:, :2], MASK)])
def test_errors_name_the_operation(made, feeds):
    with pytest.raises(tf.errors.InvalidArgumentError, match="MatMul") as found:
        run(bert, "/gpu:0", feeds, steps=1)
    assert "matmul" in str(found.value).lower()
    assert len(made) == 1
