"""tf.contrib.seq2seq: attention, decoders, what they read; beam search beside trying all."""

import numpy as np
import pytest

import tfsession as tf

SEQ, RNN = tf.contrib.seq2seq, tf.contrib.rnn
RNG = np.random.default_rng(3)
MEMORY = RNG.normal(size=(3, 5, 4)).astype("float32")
LENGTHS = [5, 2, 3]
X = RNG.normal(size=(3, 4, 2)).astype("float32")


def values(fetches, feeds=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _masked(score):
    return np.where(np.arange(5) < np.array(LENGTHS)[:, None], score, -np.inf)


@pytest.mark.parametrize("scale", [False, True])
def test_scores_by_products(scale, fresh_graph):
    query = RNG.normal(size=(3, 6)).astype("f")
    mechanism = SEQ.LuongAttention(6, tf.constant(MEMORY), LENGTHS, scale=scale)
    weights, state = mechanism(tf.constant(query), None)
    names = [v.name for v in tf.global_variables()]
    assert names == ["memory_layer/kernel:0", "luong_attention/attention_g:0"][: 1 + scale]
    found, same, kernel, kept = values([weights, state, tf.global_variables()[0], mechanism.values])
    score = np.einsum("bu,btu->bt", query, MEMORY @ kernel)
    np.testing.assert_allclose(found, softmax(_masked(score)), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(found, same)
    np.testing.assert_array_equal(kept[1, 2:], np.zeros((3, 4)))
    with pytest.raises(ValueError, match="Incompatible or unknown inner dimensions"):
        mechanism(tf.constant(query[:, :5]), None)


@pytest.mark.parametrize("normalize", [False, True])
def test_scores_by_sums(normalize, fresh_graph):
    query = RNG.normal(size=(3, 2)).astype("f")
    mechanism = SEQ.BahdanauAttention(6, tf.constant(MEMORY), LENGTHS, normalize=normalize)
    weights, _ = mechanism(tf.constant(query), None)
    found, v = values([weights, {v.name: v for v in tf.global_variables()}])
    name = "bahdanau_attention"
    own = {"attention_v", "query_layer/kernel"} | (
        {"attention_g", "attention_b"} if normalize else set()
    )
    assert set(v) == {"memory_layer/kernel:0"} | {f"{name}/{each}:0" for each in own}
    vector = v[f"{name}/attention_v:0"]
    if normalize:
        np.testing.assert_allclose(v[f"{name}/attention_g:0"], np.sqrt(1 / 6), rtol=1e-6)
        vector = vector * v[f"{name}/attention_g:0"] / np.linalg.norm(vector)
    keys = MEMORY @ v["memory_layer/kernel:0"]
    keys *= (np.arange(5) < np.array(LENGTHS)[:, None])[..., None]
    asked = (query @ v[f"{name}/query_layer/kernel:0"])[:, None]
    score = (vector * np.tanh(keys + asked)).sum(2)
    np.testing.assert_allclose(found, softmax(_masked(score)), rtol=1e-4, atol=1e-6)


def test_a_memory_of_no_length_is_an_error(fresh_graph):
    lengths = tf.placeholder_with_default([5, 0, 3], [3])
    mechanism = SEQ.LuongAttention(6, tf.constant(MEMORY), lengths)
    weights, _ = mechanism(tf.zeros([3, 6]), None)
    with pytest.raises(tf.errors.InvalidArgumentError, match="must greater than zero"):
        values(weights)


def test_a_cell_with_attention(fresh_graph):
    mechanism = SEQ.BahdanauAttention(6, tf.constant(MEMORY), LENGTHS)
    cell = SEQ.AttentionWrapper(
        RNN.GRUCell(3), mechanism, attention_layer_size=2, alignment_history=True
    )
    outputs, state = tf.nn.dynamic_rnn(cell, tf.constant(X), dtype=tf.float32)
    assert cell.output_size == 2
    names = {v.name for v in tf.global_variables()}
    assert "rnn/attention_wrapper/gru_cell/gates/kernel:0" in names
    assert "rnn/attention_wrapper/bahdanau_attention/query_layer/kernel:0" in names
    assert "rnn/attention_wrapper/attention_layer/kernel:0" in names
    kernel = next(v for v in tf.global_variables() if "attention_layer/kernel" in v.name)
    history = state.alignment_history.stack()
    found, last, weights, time, h, k, kept = values(
        [outputs, state.attention, history, state.time, state.cell_state, kernel, mechanism.values]
    )
    assert time == 4
    assert weights.shape == (4, 3, 5)
    np.testing.assert_allclose(weights.sum(2), np.ones((4, 3)), rtol=1e-5)
    np.testing.assert_array_equal(weights[:, 1, 2:], np.zeros((4, 3)))
    np.testing.assert_array_equal(last, found[:, -1])
    context = np.einsum("bt,btd->bd", weights[-1], kept)
    np.testing.assert_allclose(last, np.concatenate([h, context], 1) @ k, rtol=1e-4, atol=1e-6)


def test_several_memories_and_given_states(fresh_graph):
    both = [SEQ.LuongAttention(3, tf.constant(MEMORY)), SEQ.BahdanauAttention(3, MEMORY[:, :2])]
    first = tf.ones([3, 3])
    cell = SEQ.AttentionWrapper(
        RNN.GRUCell(3), both, output_attention=False, initial_cell_state=first,
        cell_input_fn=lambda inputs, found: inputs,
    )  # fmt: skip
    state = cell.zero_state(3, tf.float32)
    assert cell.output_size == 3
    assert state.attention.shape.as_list() == [3, 8]
    assert [a.shape.as_list() for a in state.alignments] == [[3, 5], [3, 2]]
    output, new = cell(tf.constant(X[:, 0]), state)
    begin, out, inner = values([state.cell_state, output, new.cell_state])
    np.testing.assert_array_equal(begin, np.ones((3, 3)))
    np.testing.assert_array_equal(out, inner)
    clone = state.clone(cell_state=tf.placeholder(tf.float32))
    assert clone.cell_state.shape.as_list() == [3, 3]
    assert clone.attention is state.attention
    with pytest.raises(ValueError, match="exactly one integer per attention_mechanism"):
        SEQ.AttentionWrapper(RNN.GRUCell(3), both, attention_layer_size=3)
    with pytest.raises(TypeError, match="attention_mechanism must be"):
        SEQ.AttentionWrapper(RNN.GRUCell(3), 3)
    with pytest.raises(TypeError, match="AttentionWrapperState"):
        cell(tf.constant(X[:, 0]), tf.zeros([3, 3]))
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="tile_batch"):
        values(cell.zero_state(tf.placeholder_with_default(6, []), tf.float32).cell_state)


@pytest.mark.parametrize("impute", [False, True])
def test_training_is_what_dynamic_rnn_does(impute, fresh_graph):
    lengths = [4, 1, 2]
    cell = RNN.BasicLSTMCell(3)
    source = SEQ.TrainingHelper(tf.constant(X), lengths)
    decoder = SEQ.BasicDecoder(
        cell, source, cell.zero_state(3, tf.float32), output_layer=tf.layers.Dense(5)
    )
    output, state, found_lengths = SEQ.dynamic_decode(decoder, impute_finished=impute)
    with tf.variable_scope("decoder", reuse=True) as scope:
        outputs, last = tf.nn.dynamic_rnn(cell, X, lengths, dtype=tf.float32, scope=scope)
    kernel = next(v for v in tf.global_variables() if v.name == "decoder/dense/kernel:0")
    found, mine, ends, wanted, other, k = values(
        [output, state, found_lengths, outputs, last, kernel]
    )
    np.testing.assert_array_equal(ends, lengths)
    for row, length in enumerate(lengths):
        scores = found.rnn_output[row]
        np.testing.assert_allclose(scores[:length], wanted[row, :length] @ k, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(found.sample_id[row, :length], scores[:length].argmax(1))
        if impute:
            np.testing.assert_array_equal(scores[length:], np.zeros((4 - length, 5)))
    if impute:
        np.testing.assert_allclose(mine.h, other.h, rtol=1e-5, atol=1e-6)


def _symbols(end, **keywords):
    """A cell whose output is its input, and vectors that make symbol k read k + 1 next."""
    table = np.roll(np.eye(5, dtype="f"), 1, axis=1) * 9

    class Passes(RNN.RNNCell):
        state_size, output_size = 1, 5

        def call(self, inputs, state):
            return inputs, state

    cell = Passes()
    return cell, tf.constant(table), tf.constant([0, 2, 3]), end


def test_the_likeliest_is_read_next(fresh_graph):
    cell, table, start, end = _symbols(4)
    source = SEQ.GreedyEmbeddingHelper(table, start, end)
    decoder = SEQ.BasicDecoder(cell, source, cell.zero_state(3, tf.float32))
    output, _, lengths = SEQ.dynamic_decode(decoder)
    capped, _, few = SEQ.dynamic_decode(decoder, maximum_iterations=2, output_time_major=True)
    found, ends, short, two = values([output.sample_id, lengths, capped.sample_id, few])
    np.testing.assert_array_equal(ends, [4, 2, 1])
    assert [list(row[:n]) for row, n in zip(found, ends, strict=True)] == [
        *([1, 2, 3, 4], [3, 4], [4]),
    ]
    assert short.shape == (2, 3)
    np.testing.assert_array_equal(two, [2, 2, 1])
    nothing, _, none = SEQ.dynamic_decode(decoder, maximum_iterations=0)
    assert values([nothing.sample_id, none])[0].shape == (3, 0)
    with pytest.raises(ValueError, match="start_tokens must be a vector"):
        SEQ.GreedyEmbeddingHelper(table, 1, end)
    with pytest.raises(TypeError, match="Expected decoder to be type Decoder"):
        SEQ.dynamic_decode(3)


def test_symbols_are_drawn(fresh_graph):
    cell, table, start, end = _symbols(4)
    cold = SEQ.SampleEmbeddingHelper(table, start, end, softmax_temperature=0.01, seed=1)
    hot = SEQ.SampleEmbeddingHelper(table, start, end, softmax_temperature=1e6, seed=1)
    found = []
    for source in (cold, hot):
        decoder = SEQ.BasicDecoder(cell, source, cell.zero_state(3, tf.float32))
        found.append(SEQ.dynamic_decode(decoder, maximum_iterations=40)[2])
    certain, chance = values(found)
    np.testing.assert_array_equal(certain, [4, 2, 1])
    assert (chance != certain).any()


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_draws_take_the_place_of_inputs_at_times(probability, fresh_graph):
    cell, table, _, _ = _symbols(4)
    given = tf.constant(np.tile(np.eye(5, dtype="f")[1] * 99, (3, 4, 1)))
    source = SEQ.ScheduledEmbeddingTrainingHelper(
        given, [4, 4, 2], table, probability, seed=1, scheduling_seed=2
    )
    decoder = SEQ.BasicDecoder(cell, source, cell.zero_state(3, tf.float32))
    output, _, lengths = SEQ.dynamic_decode(decoder)
    found, ends = values([output, lengths])
    np.testing.assert_array_equal(ends, [4, 4, 2])
    if probability == 0:
        assert (found.sample_id == -1).all()
        assert (found.rnn_output.argmax(2) == 1).all()
    else:
        # Each symbol is drawn by what was read, and decides what is read next.
        read = found.rnn_output.argmax(2)
        np.testing.assert_array_equal(read[:2, 1:], (found.sample_id[:2, :-1] + 1) % 5)


def test_functions_may_say_what_is_read(fresh_graph):
    cell, table, start, _ = _symbols(4)
    source = SEQ.CustomHelper(
        lambda: (tf.zeros([3], tf.bool), tf.gather(table, start)),
        lambda time, outputs, state: tf.cast(tf.argmax(outputs, 1), tf.int32),
        lambda time, outputs, state, sample_ids: (
            tf.fill([3], time >= 2), tf.gather(table, sample_ids), state,
        ),
    )  # fmt: skip
    decoder = SEQ.BasicDecoder(cell, source, cell.zero_state(3, tf.float32))
    one = SEQ.dynamic_decode(decoder)[0].sample_id
    other = SEQ.InferenceHelper(
        lambda outputs: tf.nn.softmax(outputs), [5], tf.float32, tf.gather(table, start),
        lambda chosen: chosen[:, 4] > 0.5, lambda chosen: tf.matmul(chosen, table),
    )  # fmt: skip
    decoder = SEQ.BasicDecoder(cell, other, cell.zero_state(3, tf.float32))
    chosen, _, lengths = SEQ.dynamic_decode(decoder)
    found, soft, ends = values([one, chosen.sample_id, lengths])
    np.testing.assert_array_equal(found, [[1, 2, 3], [3, 4, 0], [4, 0, 1]])
    np.testing.assert_array_equal(ends, [4, 2, 1])
    assert soft.shape == (3, 4, 5)


LOSSES = [
    ({}, lambda e, w: e.sum() / w.sum()),
    ({"average_across_batch": False}, lambda e, w: e.sum(1) / w.sum(1)),
    ({"average_across_timesteps": False}, lambda e, w: e.sum(0) / w.sum(0)),
    (
        {"average_across_timesteps": False, "average_across_batch": False},
        lambda e, w: e,
    ),
    (
        {
            "average_across_timesteps": False, "average_across_batch": False,
            "sum_over_timesteps": True, "sum_over_batch": True,
        },
        lambda e, w: e.sum() / (w != 0).sum(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("keywords", "wanted"), LOSSES)
def test_losses_of_sequences(keywords, wanted, fresh_graph):
    scores = RNG.normal(size=(3, 4, 5)).astype("f")
    classes = RNG.integers(0, 5, (3, 4))
    weights = RNG.random((3, 4)).astype("f")
    weights[0, 3] = 0
    log = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    entropy = -np.take_along_axis(log, classes[..., None], -1)[..., 0] * weights
    loss = SEQ.sequence_loss(
        tf.constant(scores), tf.constant(classes), tf.constant(weights), **keywords
    )
    np.testing.assert_allclose(values(loss), wanted(entropy, weights), rtol=1e-5)


# --- beams ----------------------------------------------------------------------------------------

CLASSES, STEPS, WIDTH, END = 4, 4, 40, 3


def _all_sequences(weights, start):
    """Log probability, symbols and counted length of all sequences that end or are long enough."""
    table, gate_kernel, gate_bias, kernel, bias, out, out_bias = weights

    def step(x, h):
        r, u = np.split(1 / (1 + np.exp(-(np.r_[x, h] @ gate_kernel + gate_bias))), 2)
        h = u * h + (1 - u) * np.tanh(np.r_[x, r * h] @ kernel + bias)
        scores = h @ out + out_bias
        return h, scores - np.log(np.exp(scores).sum())

    def continued(h, symbol, symbols, total):
        if len(symbols) == STEPS or END in symbols:
            # An end counts once a step has been made after it.
            length = STEPS - (symbols[-1] == END) if len(symbols) == STEPS else len(symbols)
            yield total, symbols, length
            return
        h, log = step(table[symbol], h)
        for k in range(CLASSES):
            yield from continued(h, k, [*symbols, k], total + log[k])

    return list(continued(start, 0, [], 0.0))


@pytest.mark.parametrize("weight", [0.0, 0.7])
def test_beams_find_the_best_of_all(weight, fresh_graph):
    normal = tf.random_normal_initializer
    table = tf.get_variable("table", [CLASSES, 3], initializer=normal(seed=1))
    cell = RNN.GRUCell(5, kernel_initializer=normal(seed=2))
    layer = tf.layers.Dense(CLASSES, kernel_initializer=normal(seed=3))
    starts = RNG.normal(size=(2, 5)).astype("f")
    decoder = SEQ.BeamSearchDecoder(
        cell, table, [0, 0], END, SEQ.tile_batch(tf.constant(starts), WIDTH), WIDTH, layer,
        length_penalty_weight=weight,
    )  # fmt: skip
    output, state, lengths = SEQ.dynamic_decode(decoder, maximum_iterations=STEPS)
    assert output.predicted_ids.shape.as_list() == [2, None, WIDTH]
    found, last, ends, weights = values([output, state, lengths, tf.trainable_variables()])
    for row in range(2):
        everything = _all_sequences(weights, starts[row])
        everything.sort(key=lambda each: -each[0] / ((5 + each[2]) / 6) ** weight)
        for beam in range(5):
            total, symbols, length = everything[beam]
            mine = found.predicted_ids[row, :, beam].tolist()
            assert mine[: len(symbols)] == symbols
            assert set(mine[len(symbols) :]) <= {END}
            np.testing.assert_allclose(last.log_probs[row, beam], total, rtol=1e-4)
            assert ends[row, beam] == length


def test_beams_with_attention_and_coverage(fresh_graph):
    memory, lengths = SEQ.tile_batch((tf.constant(MEMORY), tf.constant(LENGTHS)), 4)
    mechanism = SEQ.LuongAttention(6, memory, lengths)
    cell = SEQ.AttentionWrapper(RNN.BasicLSTMCell(6), mechanism, 5, alignment_history=True)
    start = SEQ.tile_batch(tf.constant(RNG.normal(size=(3, 6)).astype("f")), 4)
    begin = tf.nn.rnn_cell.LSTMStateTuple(start, start)
    table, layer = tf.get_variable("table", [7, 3]), tf.layers.Dense(7)
    outputs, arrays = [], []
    for reorders in (True, False):
        state = cell.zero_state(12, tf.float32).clone(cell_state=begin)
        decoder = SEQ.BeamSearchDecoder(
            cell, table, [0, 1, 2], 6, state, 4, layer, length_penalty_weight=1.0,
            coverage_penalty_weight=0.3, reorder_tensor_arrays=reorders,
        )  # fmt: skip
        with tf.variable_scope("all", reuse=not reorders):
            output, last, _ = SEQ.dynamic_decode(decoder, maximum_iterations=5)
        outputs.append((output.beam_search_decoder_output, last.lengths))
        arrays.append(last.cell_state.alignment_history)
    fetches = [outputs[0], last.accumulated_attention_probs, arrays[0], arrays[1].stack()]
    (steps, lengths), sums, ordered, plain = values(fetches)
    assert ordered.shape == plain.shape == (steps.parent_ids.shape[1], 12, 5)
    assert (sums[1, :, 2:] == 0).all()  # behind the length of the memory
    for row in range(3):
        for beam in range(4):
            place = beam
            for time in reversed(range(int(lengths[row].max()))):
                within = time < lengths[row, beam]
                taken = plain[time, row * 4 + (place if within else beam)]
                np.testing.assert_array_equal(ordered[time, row * 4 + beam], taken)
                place = steps.parent_ids[row, time, place]
    with pytest.raises(ValueError, match="coverage_penalty_weight must be"):
        plain = RNN.GRUCell(6)
        other = SEQ.BeamSearchDecoder(
            plain, tf.zeros([7, 3]), [0, 1, 2], 6, start, 4, coverage_penalty_weight=0.3
        )
        SEQ.dynamic_decode(other, scope="plain")


def test_sequences_are_read_backwards(fresh_graph):
    steps = np.array([[[1, 2, 3]], [[4, 5, 6]], [[7, 8, 9]]])
    parents = np.array([[[0, 0, 0]], [[0, 1, 1]], [[2, 1, 2]]])
    for length, end, wanted in (
        (3, 10, [[2, 2, 2], [6, 5, 6], [7, 8, 9]]),
        (2, 10, [[1, 2, 2], [4, 5, 6], [10, 10, 10]]),
        (3, 6, [[2, 2, 2], [6, 5, 6], [6, 8, 6]]),
    ):
        found = values(SEQ.gather_tree(steps, parents, [length], end))
        np.testing.assert_array_equal(found[:, 0], wanted)


def test_examples_are_tiled(fresh_graph):
    x = np.arange(6).reshape(3, 2)
    state = tf.nn.rnn_cell.LSTMStateTuple(tf.constant(x), tf.constant([1, 2, 3]))
    tiled = SEQ.tile_batch(state, 2)
    assert tiled.c.shape.as_list() == [6, 2]
    found = values(tiled)
    np.testing.assert_array_equal(found.c, np.repeat(x, 2, axis=0))
    np.testing.assert_array_equal(found.h, [1, 1, 2, 2, 3, 3])
    with pytest.raises(ValueError, match="scalar"):
        SEQ.tile_batch(tf.constant(1), 2)
