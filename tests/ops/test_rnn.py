"""Recurrent networks: lengths, states, both ways, gradients, as loops and unrolled."""

import numpy as np
import pytest

import tfsession as tf

RNG = np.random.default_rng(1)
X = RNG.normal(size=(3, 6, 2)).astype("float32")
LENGTHS = [6, 0, 3]
CELLS = tf.nn.rnn_cell


def values(fetches, feeds=None):
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def by_hand(kernel, bias, lengths):
    """Outputs and last states of a plain cell of three units."""
    outputs, states = np.zeros((3, 6, 3), "f"), np.zeros((3, 3), "f")
    for row, length in enumerate(lengths):
        for time in range(length):
            joined = np.concatenate([X[row, time], states[row]])
            states[row] = outputs[row, time] = np.tanh(joined @ kernel + bias)
    return outputs, states


@pytest.mark.parametrize("lengths", [None, LENGTHS])
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("unrolled", [False, True])
def test_outputs_and_states(lengths, time_major, unrolled, device, fresh_graph):
    cell = CELLS.BasicRNNCell(3)
    with tf.device(device):
        if unrolled:
            pieces = tf.unstack(tf.constant(X), axis=1)
            outputs, state = tf.nn.static_rnn(
                cell, pieces, dtype=tf.float32, sequence_length=lengths
            )
            outputs = tf.stack(outputs, 0 if time_major else 1)
        else:
            outputs, state = tf.nn.dynamic_rnn(
                cell, tf.constant(X.swapaxes(0, 1) if time_major else X), lengths,
                dtype=tf.float32, time_major=time_major,
            )  # fmt: skip
    assert outputs.shape.as_list() == ([6, 3, 3] if time_major else [3, 6, 3])
    assert [v.name for v in cell.variables] == [
        *("rnn/basic_rnn_cell/kernel:0", "rnn/basic_rnn_cell/bias:0"),
    ]
    found, last, weights = values([outputs, state, cell.variables])
    wanted, wanted_last = by_hand(*weights, lengths or [6] * 3)
    found = found.swapaxes(0, 1) if time_major else found
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(last, wanted_last, rtol=2e-5, atol=1e-6)


def test_sizes_that_only_a_run_tells(fresh_graph):
    x = tf.placeholder(tf.float32, [None, None, 2])
    lengths = tf.placeholder(tf.int64, [None])
    outputs, state = tf.nn.dynamic_rnn(CELLS.BasicLSTMCell(3), x, lengths, dtype=tf.float32)
    assert outputs.shape.as_list() == [None, None, 3]
    assert state.h.shape.as_list() == [None, 3]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for times in (1, 6):
            feeds = {x: X[:, :times], lengths: np.minimum(LENGTHS, times)}
            assert session.run(outputs, feeds).shape == (3, times, 3)
        assert session.run(outputs, {x: X[:0], lengths: []}).shape == (0, 6, 3)
        with pytest.raises(tf.errors.InvalidArgumentError, match="Expected shape for Tensor"):
            session.run(outputs, {x: X, lengths: [1, 2]})
        np.testing.assert_array_equal(
            session.run(outputs, {x: X, lengths: LENGTHS})[1], np.zeros((6, 3))
        )


def test_a_given_first_state(fresh_graph):
    cell = CELLS.GRUCell(3)
    first = tf.constant(RNG.normal(size=(3, 3)).astype("f"))
    outputs, state = tf.nn.dynamic_rnn(cell, tf.constant(X), LENGTHS, initial_state=first)
    found, begin, last = values([outputs, first, state])
    np.testing.assert_array_equal(last[1], begin[1])  # a sequence of length zero
    np.testing.assert_array_equal(last[2], found[2, 2])
    np.testing.assert_array_equal(last[0], found[0, 5])


def test_loop_and_unrolled_have_the_same_gradients(fresh_graph):
    tf.set_random_seed(1)
    cell = CELLS.MultiRNNCell([CELLS.BasicLSTMCell(3), CELLS.GRUCell(2)])
    x = tf.constant(X)
    pairs = []
    with tf.variable_scope("net") as scope:
        pairs.append(tf.nn.dynamic_rnn(cell, x, LENGTHS, dtype=tf.float32, scope=scope))
    with tf.variable_scope(scope, reuse=True) as again:
        pieces = tf.unstack(x, axis=1)
        outputs, state = tf.nn.static_rnn(
            cell, pieces, dtype=tf.float32, sequence_length=LENGTHS, scope=again
        )
        pairs.append((tf.stack(outputs, 1), state))
    assert len(tf.trainable_variables()) == 6
    grads = []
    for outputs, state in pairs:
        loss = tf.reduce_sum(outputs**2) + tf.add_n(
            [tf.reduce_sum(tf.sin(part)) for part in tf.nest.flatten(state)]
        )
        grads.append(tf.gradients(loss, [x, *tf.trainable_variables()]))
    one, other = values(grads)
    for mine, wanted in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-4, atol=1e-5)
    np.testing.assert_array_equal(one[0][1], np.zeros((6, 2)))
    assert np.abs(one[0][0]).min() > 0


def test_gradients_are_those_of_differences(fresh_graph):
    x = tf.placeholder_with_default(X.astype("float64"), [3, 6, 2])
    cell = CELLS.BasicLSTMCell(2, dtype=tf.float64)
    outputs, state = tf.nn.dynamic_rnn(cell, x, LENGTHS, dtype=tf.float64)
    loss = tf.reduce_sum(tf.sin(outputs)) + tf.reduce_sum(state.c)
    gradient = tf.gradients(loss, x)[0]
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found = session.run(gradient)
        for at in [(0, 0, 0), (0, 5, 1), (1, 2, 0), (2, 2, 1), (2, 3, 1)]:
            ends = []
            for sign in (1, -1):
                moved = X.astype("float64")
                moved[at] += sign * 1e-6
                ends.append(session.run(loss, {x: moved}))
            np.testing.assert_allclose(found[at], (ends[0] - ends[1]) / 2e-6, atol=1e-7)


def test_both_ways(fresh_graph):
    forth, back = CELLS.BasicRNNCell(3), CELLS.BasicRNNCell(3)
    outputs, states = tf.nn.bidirectional_dynamic_rnn(
        forth, back, tf.constant(X), LENGTHS, dtype=tf.float32
    )
    assert forth.variables[0].name == "bidirectional_rnn/fw/basic_rnn_cell/kernel:0"
    assert back.variables[0].name == "bidirectional_rnn/bw/basic_rnn_cell/kernel:0"
    pieces = tf.unstack(tf.constant(X), axis=1)
    with tf.variable_scope("", reuse=True):
        joined, state_fw, state_bw = tf.nn.static_bidirectional_rnn(
            forth, back, pieces, dtype=tf.float32, sequence_length=LENGTHS
        )
    found, last, unrolled, others = values(
        [outputs, states, tf.stack(joined, 1), (state_fw, state_bw)]
    )
    np.testing.assert_allclose(np.concatenate(found, 2), unrolled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(last, others, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(last[1][0], found[1][0, 0])  # it read that input last
    np.testing.assert_array_equal(found[1][2, 3:], np.zeros((3, 3)))


def test_a_loop_as_a_function_says(fresh_graph):
    """Each example reads its own last output until that is small."""
    cell = CELLS.BasicRNNCell(2)

    def loop_fn(time, output, state, loop_state):
        if output is None:
            begin = cell.zero_state(3, tf.float32)
            return tf.zeros([3], tf.bool), tf.constant(X[:, 0]), begin, None, tf.constant(0)
        finished = tf.logical_or(time >= 4, tf.range(3) < time)
        return finished, output, state, output, loop_state + 1

    array, state, turns = tf.nn.raw_rnn(cell, loop_fn)
    found, last, count, (kernel, bias) = values([array.stack(), state, turns, cell.variables])
    assert found.shape == (3, 3, 2)
    assert count == 3
    for row in range(3):
        x, h = X[row, 0], np.zeros(2, "f")
        for time in range(3):
            if time > row:
                np.testing.assert_array_equal(found[time, row], np.zeros(2))
                continue
            x = h = np.tanh(np.concatenate([x, h]) @ kernel + bias)
            np.testing.assert_allclose(found[time, row], h, rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(last[row], h, rtol=2e-5, atol=1e-6)


def test_a_cell_that_gives_another_structure(fresh_graph):
    class Wrong(CELLS.RNNCell):
        state_size, output_size = 2, 2

        def call(self, inputs, state):
            return inputs, (state, state)

    with pytest.raises(ValueError, match="structure"):
        tf.nn.dynamic_rnn(Wrong(), tf.constant(X), dtype=tf.float32)
    with pytest.raises(ValueError, match="structure"):
        tf.nn.dynamic_rnn(Wrong(), tf.constant(X), LENGTHS, dtype=tf.float32, scope="b")


def test_a_session_works_after_an_error(fresh_graph):
    x = tf.placeholder(tf.float32, [None, None, 2])
    checked = tf.check_numerics(x, "found")
    outputs, _ = tf.nn.dynamic_rnn(CELLS.GRUCell(2), checked, dtype=tf.float32)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match="found"):
            session.run(outputs, {x: X * np.inf})
        assert np.isfinite(session.run(outputs, {x: X})).all()
