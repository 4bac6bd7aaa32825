"""Recurrent cells: their formulas in NumPy, variables, states; cells around cells."""

import copy

import numpy as np
import pytest

import tfsession as tf

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2)).astype("float32")
H = RNG.normal(size=(3, 4)).astype("float32")
C = RNG.normal(size=(3, 4)).astype("float32")
CELLS = tf.nn.rnn_cell


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def values(fetches):
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


def lstm_step(x, c, h, kernel, bias, forget_bias=1.0):
    i, j, f, o = np.split(np.concatenate([x, h], 1) @ kernel + bias, 4, axis=1)
    c = c * sigmoid(f + forget_bias) + sigmoid(i) * np.tanh(j)
    return c, np.tanh(c) * sigmoid(o)


def test_the_plain_cell(device, fresh_graph):
    cell = CELLS.BasicRNNCell(4, activation="relu")
    with tf.device(device):
        found = cell(tf.constant(X), tf.constant(H))
    kernel, bias = cell.variables
    (output, state), k, b = values([found, kernel, bias])
    np.testing.assert_array_equal(output, state)
    np.testing.assert_array_equal(b, np.zeros(4, "f"))
    np.testing.assert_allclose(output, np.maximum(np.concatenate([X, H], 1) @ k, 0), rtol=1e-5)
    assert [v.name for v in cell.variables] == ["basic_rnn_cell/kernel:0", "basic_rnn_cell/bias:0"]


def test_the_gated_cell(device, fresh_graph):
    cell = CELLS.GRUCell(4)
    with tf.device(device):
        found = cell(tf.constant(X), tf.constant(H))
    assert [v.name for v in cell.variables] == [
        *("gru_cell/gates/kernel:0", "gru_cell/gates/bias:0"),
        *("gru_cell/candidate/kernel:0", "gru_cell/candidate/bias:0"),
    ]
    (output, state), (gk, gb, ck, cb) = values([found, cell.variables])
    np.testing.assert_array_equal(output, state)
    np.testing.assert_array_equal(gb, np.ones(8, "f"))
    np.testing.assert_array_equal(cb, np.zeros(4, "f"))
    r, u = np.split(sigmoid(np.concatenate([X, H], 1) @ gk + gb), 2, axis=1)
    candidate = np.tanh(np.concatenate([X, r * H], 1) @ ck)
    np.testing.assert_allclose(output, u * H + (1 - u) * candidate, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("is_tuple", [True, False])
def test_long_short_term_memory(is_tuple, device, fresh_graph):
    cell = CELLS.BasicLSTMCell(4, forget_bias=0.5, state_is_tuple=is_tuple)
    state = CELLS.LSTMStateTuple(tf.constant(C), tf.constant(H))
    with tf.device(device):
        h, new = cell(tf.constant(X), state if is_tuple else tf.concat(state, 1))
    found, (kernel, bias) = values([[h, new], cell.variables])
    wanted = lstm_step(X, C, H, kernel, bias, 0.5)
    np.testing.assert_allclose(found[0], wanted[1], rtol=2e-5, atol=1e-6)
    joined = np.concatenate(found[1], 1) if is_tuple else found[1]
    np.testing.assert_allclose(joined, np.concatenate(wanted, 1), rtol=2e-5, atol=1e-6)
    assert isinstance(found[1], CELLS.LSTMStateTuple) == is_tuple
    assert cell.state_size == ((4, 4) if is_tuple else 8)


def test_peepholes_clips_and_projections(fresh_graph):
    cell = CELLS.LSTMCell(
        4, use_peepholes=True, cell_clip=0.3, num_proj=2, proj_clip=0.1,
        initializer=tf.random_normal_initializer(seed=3),
    )  # fmt: skip
    h, new = cell(tf.constant(X), CELLS.LSTMStateTuple(tf.constant(C), tf.constant(H[:, :2])))
    names = [v.name.partition("/")[2] for v in cell.variables]
    assert names == [
        *("kernel:0", "bias:0", "w_f_diag:0", "w_i_diag:0", "w_o_diag:0", "projection/kernel:0"),
    ]
    output, state, (kernel, bias, wf, wi, wo, p) = values([h, new, cell.variables])
    i, j, f, o = np.split(np.concatenate([X, H[:, :2]], 1) @ kernel + bias, 4, axis=1)
    c = sigmoid(f + 1 + wf * C) * C + sigmoid(i + wi * C) * np.tanh(j)
    c = np.clip(c, -0.3, 0.3)
    m = np.clip((sigmoid(o + wo * c) * np.tanh(c)) @ p, -0.1, 0.1)
    np.testing.assert_allclose(state.c, c, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(output, m, rtol=2e-5, atol=1e-6)
    np.testing.assert_array_equal(output, state.h)


def test_kernels_in_slices(fresh_graph):
    cell = CELLS.LSTMCell(4, num_unit_shards=2, num_proj=2, num_proj_shards=2)
    for _ in range(2):
        output, _ = cell(tf.constant(X), cell.zero_state(3, tf.float32))
    assert [v.name for v in tf.trainable_variables()] == [
        *("lstm_cell/kernel/part_0:0", "lstm_cell/kernel/part_1:0", "lstm_cell/bias:0"),
        *("lstm_cell/projection/kernel/part_0:0", "lstm_cell/projection/kernel/part_1:0"),
    ]
    assert values(output).shape == (3, 2)


def test_a_second_call_takes_the_same_variables(fresh_graph):
    cell = CELLS.GRUCell(4)
    with tf.variable_scope("first"):
        _, state = cell(tf.constant(X), cell.zero_state(3, tf.float32))
    with tf.variable_scope("second"):
        cell(tf.constant(X), state)
    assert len(tf.global_variables()) == 4
    assert all(v.name.startswith("first/gru_cell/") for v in tf.global_variables())


def test_cells_of_the_same_name_can_share(fresh_graph):
    for reuse in (None, True):
        cell = CELLS.BasicLSTMCell(4, name="shared", reuse=reuse)
        cell(tf.constant(X), cell.zero_state(3, tf.float32))
    assert [v.name for v in tf.global_variables()] == ["shared/kernel:0", "shared/bias:0"]
    other = CELLS.BasicLSTMCell(4, name="shared")
    other(tf.constant(X), other.zero_state(3, tf.float32))
    assert other.variables[0].name == "shared_1/kernel:0"


def test_first_states(fresh_graph):
    cell = CELLS.MultiRNNCell([CELLS.BasicLSTMCell(4), CELLS.GRUCell(3)])
    size = tf.placeholder_with_default(3, [])
    known, unknown = cell.zero_state(2, tf.float64), cell.zero_state(size, tf.float64)
    assert [t.shape.as_list() for t in tf.nest.flatten(known)] == [[2, 4], [2, 4], [2, 3]]
    assert [t.shape.as_list() for t in tf.nest.flatten(unknown)] == [[None, 4]] * 2 + [[None, 3]]
    assert [t.shape for t in tf.nest.flatten(values(unknown))] == [(3, 4), (3, 4), (3, 3)]
    assert isinstance(known[0], CELLS.LSTMStateTuple)
    assert known[0].dtype == tf.float64
    of_inputs = cell.get_initial_state(inputs=tf.constant(X))
    assert of_inputs[1].shape.as_list() == [3, 3]
    with pytest.raises(ValueError, match="batch_size and dtype cannot be None"):
        cell.get_initial_state()
    with pytest.raises(ValueError, match="batch size from input tensor is different"):
        cell.get_initial_state(tf.constant(X), batch_size=4)
    with pytest.raises(TypeError, match="Inconsistent internal state"):
        _ = CELLS.LSTMStateTuple(tf.constant(1), tf.constant(1.0)).dtype


def test_cells_in_a_row(fresh_graph):
    cells = [CELLS.GRUCell(4), CELLS.BasicRNNCell(4)]
    row = CELLS.MultiRNNCell(cells)
    with tf.variable_scope("net"):
        output, states = row(tf.constant(X), (tf.constant(H), tf.constant(C)))
    assert [v.name for v in row.trainable_variables] == [
        *("net/multi_rnn_cell/cell_0/gru_cell/gates/kernel:0",),
        *("net/multi_rnn_cell/cell_0/gru_cell/gates/bias:0",),
        *("net/multi_rnn_cell/cell_0/gru_cell/candidate/kernel:0",),
        *("net/multi_rnn_cell/cell_0/gru_cell/candidate/bias:0",),
        *("net/multi_rnn_cell/cell_1/basic_rnn_cell/kernel:0",),
        *("net/multi_rnn_cell/cell_1/basic_rnn_cell/bias:0",),
    ]
    first, _ = cells[0](tf.constant(X), tf.constant(H))
    second, _ = cells[1](first, tf.constant(C))
    found, wanted = values([[output, states], [second, (first, second)]])
    for mine, other in zip(tf.nest.flatten(found), tf.nest.flatten(wanted), strict=True):
        np.testing.assert_array_equal(mine, other)
    with pytest.raises(ValueError, match="Expected state to be a tuple of length 2"):
        row(tf.constant(X), tf.constant(H))


def test_dropout_keeps_or_drops(fresh_graph):
    class Passes(CELLS.RNNCell):
        state_size, output_size = CELLS.LSTMStateTuple(500, 500), 500

        def call(self, inputs, state):
            return inputs, state

    ones = tf.ones([1, 500])
    cell = CELLS.DropoutWrapper(Passes(), output_keep_prob=0.5, state_keep_prob=0.8, seed=1)
    output, state = cell(ones, CELLS.LSTMStateTuple(ones, ones))
    output, state = values([output, state])
    assert set(np.unique(output)) == {0, 2}
    assert set(np.unique(state.c)) == {1}  # the memory is left alone
    np.testing.assert_allclose(np.unique(state.h), [0, 1.25])
    assert 0.4 < np.mean(output > 0) < 0.6
    assert 0.7 < np.mean(state.h > 0) < 0.9


def test_variational_dropout_is_the_same_in_all_steps(fresh_graph):
    class Passes(CELLS.RNNCell):
        state_size, output_size = 50, 50

        def call(self, inputs, state):
            return inputs, state

    cell = CELLS.DropoutWrapper(
        Passes(), output_keep_prob=0.5, variational_recurrent=True, dtype=tf.float32
    )
    outputs, _ = tf.nn.dynamic_rnn(cell, tf.ones([2, 6, 50]), dtype=tf.float32)
    with tf.Session() as session:
        one, other = session.run(outputs), session.run(outputs)
    assert set(np.unique(one)) == {0, 2}
    assert (one == one[:1, :1]).all()
    assert (one != other).any()


def test_what_is_dropped_may_be_chosen(fresh_graph):
    cell = CELLS.DropoutWrapper(
        CELLS.BasicLSTMCell(50), state_keep_prob=0.5, seed=2,
        dropout_state_filter_visitor=tf.nest.is_nested,
    )  # fmt: skip
    plain = cell.wrapped_cell
    x, state = tf.ones([1, 3]), plain.zero_state(1, tf.float32)
    found, wanted = values([cell(x, state)[1], plain(x, state)[1]])
    np.testing.assert_array_equal(found.c, wanted.c)
    np.testing.assert_array_equal(found.h, wanted.h)


def test_residuals_and_devices(fresh_graph):
    inner = CELLS.GRUCell(2)
    doubled = CELLS.ResidualWrapper(inner, residual_fn=lambda x, y: x * y)
    added = CELLS.ResidualWrapper(CELLS.DeviceWrapper(inner, "/device:CPU:0"))
    x, state = tf.constant(X), inner.zero_state(3, tf.float32)
    y, times, plus = values([cell(x, state)[0] for cell in (inner, doubled, added)])
    np.testing.assert_array_equal(times, X * y)
    np.testing.assert_allclose(plus, X + y, rtol=1e-6)
    assert added.variables == inner.variables
    assert added.state_size == added.output_size == 2
    with tf.Graph().as_default() as graph:
        cell = CELLS.DeviceWrapper(CELLS.GRUCell(2), "/device:CPU:0")
        cell(tf.constant(X), cell.zero_state(3, tf.float32))
        inside = [
            op for op in graph.get_operations() if op.type in ("MatMul", "Fill", "VariableV2")
        ]
        assert len(inside) == 7
        assert {op.device for op in inside} == {"/device:CPU:0"}


def test_an_own_cell_keeps_what_it_makes(fresh_graph):
    class Own(CELLS.RNNCell):
        state_size, output_size = 3, 3

        def call(self, inputs, state):
            w = tf.get_variable("w", [5, 3])
            fixed = tf.get_variable("fixed", [3], trainable=False)
            new = tf.matmul(tf.concat([inputs, state], 1), w) + fixed
            return new, new

    cell = Own()
    state = cell.zero_state(3, tf.float32)
    for _ in range(2):
        _, state = cell(tf.constant(X), state)
    assert [v.name for v in cell.trainable_variables] == ["own/w:0"]
    assert [v.name for v in cell.non_trainable_variables] == ["own/fixed:0"]
    with pytest.raises(NotImplementedError, match="Abstract"):
        _ = CELLS.RNNCell().state_size


def test_all_names_of_a_cell_are_one(fresh_graph):
    wanted = CELLS.LSTMCell
    assert tf.contrib.rnn.LSTMCell is wanted
    assert tf.contrib.rnn.core_rnn_cell.LSTMCell is wanted
    assert tf.contrib.rnn.rnn_cell.LSTMCell is wanted


def test_copies(fresh_graph):
    keep = tf.placeholder_with_default(1.0, [])
    cells = [CELLS.DropoutWrapper(CELLS.GRUCell(4), keep), CELLS.BasicLSTMCell(3, dtype=tf.float32)]
    row = CELLS.MultiRNNCell(cells)
    before = copy.deepcopy(row)
    with tf.variable_scope("one"):
        output, _ = row(tf.constant(X), row.zero_state(3, tf.float32))
    assert before.variables == []
    with tf.variable_scope("two"):
        before(tf.constant(X), before.zero_state(3, tf.float32))
    assert {v.name.split("/")[0] for v in before.variables} == {"two"}
    after = copy.deepcopy(row)
    assert all(a is b for a, b in zip(after.variables, row.variables, strict=True))
    again, _ = after(tf.constant(X), after.zero_state(3, tf.float32))
    assert len(tf.global_variables()) == 12
    np.testing.assert_array_equal(*values([output, again]))
