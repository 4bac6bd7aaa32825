"""tf.contrib.legacy_seq2seq: variables, what is read and written, losses."""

import numpy as np
import pytest

import tfsession as tf

LEGACY, RNN = tf.contrib.legacy_seq2seq, tf.contrib.rnn
RNG = np.random.default_rng(2)
READS = [[1, 2, 0], [3, 3, 1], [4, 0, 0]]
WRITES = [[0, 0, 0], [1, 2, 3], [5, 5, 1], [2, 1, 1]]


def values(fetches, feeds=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def symbols(rows):
    return [tf.constant(row) for row in rows]


def test_a_decoder_reads_its_inputs_or_its_outputs(fresh_graph):
    cell = RNN.BasicRNNCell(2)
    given = [tf.constant(RNG.normal(size=(3, 2)).astype("f")) for _ in range(3)]
    asked = []

    def loop_function(prev, i):
        asked.append(i)
        return prev * 2.0

    start = tf.zeros([3, 2])
    outputs, state = LEGACY.rnn_decoder(given, start, cell)
    with tf.variable_scope("", reuse=True):
        looped, _ = LEGACY.rnn_decoder(given, start, cell, loop_function)
    assert asked == [1, 2]
    kernel, _ = cell.variables
    assert kernel.name == "rnn_decoder/basic_rnn_cell/kernel:0"
    x, plain, last, own, k = values([given, outputs, state, looped, kernel])
    h = np.zeros((3, 2))
    for i in range(3):
        h = np.tanh(np.concatenate([x[i], h], 1) @ k)
        np.testing.assert_allclose(plain[i], h, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(last, plain[-1])
    h = np.zeros((3, 2))
    for i in range(3):
        h = np.tanh(np.concatenate([x[0] if i == 0 else 2 * h, h], 1) @ k)
        np.testing.assert_allclose(own[i], h, rtol=1e-5, atol=1e-6)


def test_two_cells_or_one(fresh_graph):
    x = [tf.constant(RNG.normal(size=(3, 2)).astype("f")) for _ in range(3)]
    cell = RNN.GRUCell(2)
    LEGACY.basic_rnn_seq2seq(x, x, cell)
    names = [v.name.rpartition("/gru_cell")[0] for v in tf.global_variables()]
    two = ["basic_rnn_seq2seq/rnn", "basic_rnn_seq2seq/rnn_decoder"]
    assert names == [name for name in two for _ in range(4)]
    outputs, _ = LEGACY.tied_rnn_seq2seq(x, x, RNN.GRUCell(2))
    assert len(tf.global_variables()) == 12
    assert tf.global_variables()[-1].name.startswith("combined_tied_rnn_seq2seq/tied_rnn_seq2seq/")
    assert [o.shape for o in values(outputs)] == [(3, 2)] * 3


MODELS = {
    "embedding_rnn_seq2seq": lambda feed, cell: LEGACY.embedding_rnn_seq2seq(
        symbols(READS), symbols(WRITES), cell, 5, 6, 4, feed_previous=feed
    ),
    "embedding_tied_rnn_seq2seq": lambda feed, cell: LEGACY.embedding_tied_rnn_seq2seq(
        symbols(READS), symbols(WRITES), cell, 6, 4, feed_previous=feed
    ),
    "embedding_attention_seq2seq": lambda feed, cell: LEGACY.embedding_attention_seq2seq(
        symbols(READS), symbols(WRITES), cell, 5, 6, 4, num_heads=2, feed_previous=feed,
        initial_state_attention=True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models_read_what_they_are_told_to(name, fresh_graph):
    """Fed with its own likeliest symbols, a model that reads its inputs does as the other."""
    tf.set_random_seed(5)
    tensor = tf.placeholder(tf.bool, [])
    results = []
    for feed in (False, True, tensor):
        cell = RNN.MultiRNNCell([RNN.BasicLSTMCell(3)])
        with tf.variable_scope("", reuse=bool(results)):
            results.append(MODELS[name](feed, cell))
    assert len({v.name.split("/")[0] for v in tf.global_variables()}) == 1
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        given, own = session.run(results[:2])
        for way, wanted in ((False, given), (True, own)):
            found = session.run(results[2], {tensor: way})
            for mine, other in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
                np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
        # The inputs are constants: what they are replaced by is fed in their place.
        fed = [np.argmax(output, 1) for output in own[0]]
        inputs = [
            op.outputs[0] for op in tf.get_default_graph().get_operations()
            if op.type == "Const" and op.outputs[0].shape == [3]
            and op.outputs[0].dtype == tf.int32 and "/" not in op.name
        ]  # fmt: skip
        first = next(t for t in inputs if np.array_equal(session.run(t), WRITES[0]))
        places = inputs[inputs.index(first) + 1 :][:3]
        feeds = dict(zip(places, fed, strict=False))
        again = session.run(results[0][0], feeds)
        for mine, other in zip(again, own[0], strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_a_projection_makes_scores_of_outputs(fresh_graph):
    projection = (tf.constant(np.eye(3, 6, dtype="f")), tf.zeros([6]))
    outputs, _ = LEGACY.embedding_attention_seq2seq(
        symbols(READS), symbols(WRITES), RNN.GRUCell(3), 5, 6, 4, output_projection=projection,
        feed_previous=True,
    )  # fmt: skip
    assert {tuple(o.shape.as_list()) for o in outputs} == {(3, 3)}
    wrong = (tf.zeros([3, 7]), tf.zeros([7]))
    with pytest.raises(ValueError, match=r"Shapes|not compatible|incompatible"):
        LEGACY.embedding_rnn_seq2seq(
            symbols(READS), symbols(WRITES), RNN.GRUCell(3), 5, 6, 4, output_projection=wrong,
            feed_previous=True, scope="wrong",
        )  # fmt: skip


def test_losses_of_sequences(fresh_graph):
    scores = RNG.normal(size=(4, 3, 6)).astype("f")
    classes = np.array(WRITES)
    weights = RNG.random((4, 3)).astype("f")
    lists = [list(map(tf.constant, each)) for each in (scores, classes, weights)]
    log = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    entropy = -np.take_along_axis(log, classes[..., None], -1)[..., 0] * weights
    by_example = LEGACY.sequence_loss_by_example(*lists)
    summed = LEGACY.sequence_loss_by_example(*lists, average_across_timesteps=False)
    all_in_one = LEGACY.sequence_loss(*lists)
    own = LEGACY.sequence_loss(
        *lists, softmax_loss_function=lambda labels, logits: logits[:, 0],
        average_across_timesteps=False, average_across_batch=False,
    )  # fmt: skip
    found = values([by_example, summed, all_in_one, own])
    averaged = entropy.sum(0) / weights.sum(0)
    wanted = [averaged, entropy.sum(0), averaged.mean(), (scores[..., 0] * weights).sum()]
    for mine, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5)
    with pytest.raises(ValueError, match="Lengths of logits, weights, and targets"):
        LEGACY.sequence_loss(lists[0], lists[1][:2], lists[2])


def test_buckets_share_their_variables(fresh_graph):
    weights = [tf.ones([3])] * 4

    def model(reads, writes):
        return LEGACY.embedding_rnn_seq2seq(reads, writes, RNN.GRUCell(3), 5, 6, 4)

    reads, writes = symbols(READS), symbols(WRITES)
    outputs, losses = LEGACY.model_with_buckets(
        reads, writes, writes, weights, [(2, 2), (3, 4)], model
    )
    count = len(tf.global_variables())
    _, each = LEGACY.model_with_buckets(
        reads, writes, writes, weights, [(3, 4)],
        lambda x, y: (outputs[1], None), per_example_loss=True,
    )  # fmt: skip
    assert count == len(tf.global_variables()) == 12
    assert [len(found) for found in outputs] == [2, 4]
    found, by_example = values([losses, each[0]])
    np.testing.assert_allclose(found[1], by_example.mean(), rtol=1e-5)
    with pytest.raises(ValueError, match="must be at least that of last bucket"):
        LEGACY.model_with_buckets(reads, writes, writes, weights, [(4, 4)], model)
