"""tf.contrib.rnn: formulas of its cells in NumPy, names of variables, stacks; its import."""

import importlib

import numpy as np
import pytest

import tfsession as tf

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 2)).astype("float32")
H = RNG.normal(size=(3, 4)).astype("float32")
C = RNG.normal(size=(3, 4)).astype("float32")
RNN = tf.contrib.rnn
STATE = tf.nn.rnn_cell.LSTMStateTuple


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def values(fetches):
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches)


def test_how_it_is_imported():
    module = importlib.import_module("tfsession.contrib.rnn")
    assert module is tf.contrib.rnn
    assert module.NASCell is importlib.import_module("tfsession").contrib.rnn.NASCell
    assert "static_rnn" in dir(module)
    core = importlib.import_module("tfsession.contrib.rnn.core_rnn_cell")
    assert core.GRUCell is tf.nn.rnn_cell.GRUCell
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'tfsession\.contrib\.none'"):
        importlib.import_module("tfsession.contrib.none")
    with pytest.raises(AttributeError, match="has no attribute 'NoCell'"):
        _ = tf.contrib.rnn.NoCell


@pytest.mark.parametrize("norm", [True, False])
def test_layer_normalization(norm, device, fresh_graph):
    cell = RNN.LayerNormBasicLSTMCell(4, layer_norm=norm, norm_gain=1.5, norm_shift=0.1)
    with tf.device(device):
        h, new = cell(tf.constant(X), STATE(tf.constant(C), tf.constant(H)))
    names = [v.name.partition("/")[2] for v in cell.variables]
    parts = ("input", "transform", "forget", "output", "state")
    ones = [f"{part}/{which}:0" for part in parts for which in ("gamma", "beta")]
    assert names == (["kernel:0", *ones] if norm else ["kernel:0", "bias:0"])
    output, state, (kernel, *rest) = values([h, new, cell.variables])

    def normal(x):
        if not norm:
            return x
        return (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True) * 1.5 + 0.1

    gates = np.concatenate([X, H], 1) @ kernel + (0 if norm else rest[0])
    i, j, f, o = map(normal, np.split(gates, 4, axis=1))
    c = normal(C * sigmoid(f + 1) + sigmoid(i) * np.tanh(j))
    np.testing.assert_allclose(state.c, c, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output, np.tanh(c) * sigmoid(o), rtol=1e-4, atol=1e-5)


def test_dropout_of_what_the_memory_takes_in(fresh_graph):
    cell = RNN.LayerNormBasicLSTMCell(400, layer_norm=False, dropout_keep_prob=0.5)
    _, state = cell(tf.ones([1, 3]), cell.zero_state(1, tf.float32))
    found = values(state.c)
    assert 0.3 < np.mean(found == 0) < 0.7


def test_the_cell_that_a_search_found(fresh_graph):
    cell = RNN.NASCell(4, num_proj=3, use_bias=True)
    h, new = cell(tf.constant(X), STATE(tf.constant(C), tf.constant(H[:, :3])))
    names = [v.name for v in cell.variables]
    assert names == [
        f"nas_cell/{n}:0" for n in ("recurrent_kernel", "kernel", "bias", "projection_weights")
    ]
    output, state, (recurrent, kernel, bias, projection) = values([h, new, cell.variables])
    x = np.split(X @ kernel, 8, axis=1)
    m = np.split(H[:, :3] @ recurrent + bias, 8, axis=1)
    relu, tanh = (lambda z: np.maximum(z, 0)), np.tanh
    first = [
        *(sigmoid(x[0] + m[0]), relu(x[1] + m[1]), sigmoid(x[2] + m[2]), relu(x[3] * m[3])),
        *(tanh(x[4] + m[4]), sigmoid(x[5] + m[5]), tanh(x[6] + m[6]), sigmoid(x[7] + m[7])),
    ]
    second = [
        *(tanh(first[0] * first[1]), tanh(first[2] + first[3])),
        *(tanh(first[4] * first[5]), sigmoid(first[6] + first[7])),
    ]
    c = tanh(second[0] + C) * second[1]
    wanted = tanh(c * tanh(second[2] + second[3])) @ projection
    np.testing.assert_allclose(state.c, c, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(output, wanted, rtol=2e-5, atol=1e-6)


def test_block_cells(fresh_graph):
    block, plain = RNN.LSTMBlockCell(4, use_peephole=True), RNN.LSTMCell(4, use_peepholes=True)
    state = STATE(tf.constant(C), tf.constant(H))
    found = block(tf.constant(X), state)
    with tf.variable_scope("", reuse=True):
        wanted = plain(tf.constant(X), state, scope="lstm_cell")
    for mine, other in zip(*map(tf.nest.flatten, values([found, wanted])), strict=True):
        np.testing.assert_array_equal(mine, other)
    gated = RNN.GRUBlockCell(4)
    gated(tf.constant(X), tf.constant(H))
    names = [v.name for v in gated.variables]
    assert names == [f"gru_cell/{n}:0" for n in ("w_ru", "b_ru", "w_c", "b_c")]
    assert RNN.GRUBlockCellV2(cell_size=3).output_size == 3
    with pytest.raises(ValueError, match="Exactly one of"):
        RNN.GRUBlockCellV2()


def test_projections_and_embeddings(fresh_graph):
    out = RNN.OutputProjectionWrapper(RNN.GRUCell(4), 2, activation=tf.nn.relu)
    y, state = out(tf.constant(X), tf.constant(H))
    into = RNN.InputProjectionWrapper(RNN.BasicRNNCell(4), 5)
    z, _ = into(tf.constant(X), tf.constant(H))
    rows = RNN.EmbeddingWrapper(RNN.BasicRNNCell(4), 6, 3)
    w, _ = rows(tf.constant([5, 0, 5]), tf.constant(H))
    names = {v.name: v for v in tf.global_variables()}
    found, h, into_y, row_y, v = values([y, state, z, w, names])
    name = "output_projection_wrapper"
    projected = h @ v[f"{name}/kernel:0"] + v[f"{name}/bias:0"]
    np.testing.assert_allclose(found, np.maximum(projected, 0), rtol=1e-5, atol=1e-6)
    name = "input_projection_wrapper"
    projected = X @ v[f"{name}/kernel:0"] + v[f"{name}/bias:0"]
    inner = f"{name}/basic_rnn_cell"
    wanted = np.tanh(np.concatenate([projected, H], 1) @ v[f"{inner}/kernel:0"])
    np.testing.assert_allclose(into_y, wanted, rtol=1e-5, atol=1e-6)
    table = v["embedding_wrapper/embedding:0"]
    assert table.shape == (6, 3)
    assert np.abs(table).max() < np.sqrt(3)
    wanted = np.concatenate([table[[5, 0, 5]], H], 1)
    wanted = np.tanh(wanted @ v["embedding_wrapper/basic_rnn_cell/kernel:0"])
    np.testing.assert_allclose(row_y, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="output_size must be > 0"):
        RNN.OutputProjectionWrapper(RNN.GRUCell(4), 0)


@pytest.mark.parametrize("is_tuple", [True, False])
def test_attention_over_the_last_outputs(is_tuple, fresh_graph):
    tf.set_random_seed(3)
    cell = RNN.AttentionCellWrapper(RNN.GRUCell(4), 2, attn_vec_size=3, state_is_tuple=is_tuple)
    state = cell.zero_state(3, tf.float32)
    outputs = []
    for _ in range(3):
        output, state = cell(tf.constant(X), state)
        outputs.append(output)
    found, last, v = values([outputs, state, {v.name: v for v in tf.global_variables()}])
    last = last[2] if is_tuple else last[:, 8:]
    np.testing.assert_array_equal(last, np.concatenate(found[1:], 1))
    name = "attention_cell_wrapper"
    assert v[f"{name}/attention/attn_w:0"].shape == (1, 1, 4, 3)
    # The first step by hand: it attends to zeros.
    x = np.concatenate([X, np.zeros((3, 4))], 1) @ v[f"{name}/kernel:0"]
    r, u = np.split(
        sigmoid(
            np.concatenate([x, np.zeros((3, 4))], 1) @ v[f"{name}/gru_cell/gates/kernel:0"] + 1
        ),
        2, axis=1,
    )  # fmt: skip
    kernel = v[f"{name}/gru_cell/candidate/kernel:0"]
    h = (1 - u) * np.tanh(np.concatenate([x, 0 * r], 1) @ kernel)
    wanted = np.concatenate([h, 0 * h], 1) @ v[f"{name}/attn_output_projection/kernel:0"]
    np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="attn_length should be greater than zero"):
        RNN.AttentionCellWrapper(RNN.GRUCell(4), 0)


def test_stacks_that_run_both_ways(fresh_graph):
    x = tf.constant(RNG.normal(size=(3, 5, 2)).astype("f"))
    cells = [[RNN.GRUCell(n) for n in (3, 2)] for _ in range(2)]
    outputs, fw, bw = RNN.stack_bidirectional_dynamic_rnn(
        *cells, x, dtype=tf.float32, sequence_length=[5, 2, 4]
    )
    with tf.variable_scope("", reuse=True):
        unrolled, fw2, bw2 = RNN.stack_bidirectional_rnn(
            *cells, tf.unstack(x, axis=1), dtype=tf.float32, sequence_length=[5, 2, 4]
        )
    names = {v.name.rpartition("/gru_cell")[0] for v in tf.global_variables()}
    assert names == {
        f"stack_bidirectional_rnn/cell_{i}/bidirectional_rnn/{way}"
        for i in (0, 1) for way in ("fw", "bw")
    }  # fmt: skip
    one, other = values([[outputs, fw, bw], [tf.stack(unrolled, 1), fw2, bw2]])
    for mine, wanted in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="same depth"):
        RNN.stack_bidirectional_dynamic_rnn(cells[0], cells[1][:1], x, dtype=tf.float32)
