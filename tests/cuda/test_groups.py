"""Groups of whole models: what sessions on simulated devices compute, the generated code gives."""

import platform
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from on_cpu import Batch, array_of
from test_compiled import compiled_without_spills

import tfsession as tf
from tfsession.devices.traced import Untraceable
from tfsession.kernels.cuda.fused import Fused

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="there is no NVRTC"
)

IMAGES = np.random.default_rng(1).normal(size=(16, 20)).astype(np.float32)
LABELS = np.arange(16, dtype=np.int32) % 5


def _perceptron(x, labels):
    hidden = tf.layers.dense(x, 32, tf.nn.relu)
    logits = tf.layers.dense(hidden, 5)
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    accuracy = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), 1), tf.float32))
    return [loss, accuracy, tf.train.AdamOptimizer().minimize(loss)]


def _transformer(x, labels):
    wide = tf.reshape(tf.layers.dense(x, 32), [4, 4, 32])
    mean, variance = tf.nn.moments(wide, [-1], keep_dims=True)
    normal = (wide - mean) * tf.rsqrt(variance + 1e-6) * tf.get_variable("gain", [32]) + 0.5
    scores = tf.nn.softmax(tf.matmul(normal, normal, transpose_b=True) / np.float32(32**0.5))
    mixed = wide + tf.matmul(scores, normal)
    gelu = 0.5 * mixed * (1.0 + tf.tanh(0.79788456 * (mixed + 0.044715 * mixed * mixed * mixed)))
    loss = tf.reduce_mean(tf.square(tf.layers.dense(gelu, 3))) + tf.nn.l2_loss(scores)
    return [loss, tf.train.MomentumOptimizer(0.1, 0.9).minimize(loss)]


def _recurrent(x, labels):
    cell = tf.nn.rnn_cell.LSTMCell(8)
    outputs, _ = tf.nn.static_rnn(cell, tf.split(x, 4, 1), dtype=tf.float32)
    labels = tf.one_hot(labels, 8) * 0.9 + 0.0125
    loss = tf.nn.softmax_cross_entropy_with_logits_v2(labels=labels, logits=outputs[-1])
    weights = tf.trainable_variables()
    gradients, norm = tf.clip_by_global_norm(tf.gradients(loss, weights), 1.0)
    step = tf.train.GradientDescentOptimizer(0.1).apply_gradients(
        zip(gradients, weights, strict=True)
    )
    return [tf.reduce_mean(loss), norm, step]


def _convolutional(x, labels):
    images = tf.reshape(x, [4, 4, 4, 5])
    normal = tf.layers.batch_normalization(images * 2.0, training=True)
    first = tf.transpose(tf.nn.relu(normal), [0, 3, 1, 2])
    means = tf.nn.fused_batch_norm(first, *[tf.ones([5])] * 2, data_format="NCHW")
    given = tf.nn.fused_batch_norm(
        images,
        *[tf.ones([5]) * 2.0] * 2,
        tf.zeros([5]) - 1.0,
        tf.ones([5]) * 3.0,
        is_training=False,
    )
    loss = tf.reduce_sum(tf.square(means[0])) + tf.reduce_sum(given[0] * normal)
    return [loss, *means, *given, tf.train.GradientDescentOptimizer(0.1).minimize(loss)]


def _narrow(x, labels):
    half = tf.cast(x, tf.bfloat16)
    hidden = tf.nn.elu(half * 2.0 + 1.0)
    wide = tf.cast(tf.cast(hidden, tf.float16), tf.float32)
    return [hidden, tf.nn.softmax(hidden), tf.reduce_max(wide, 0), tf.reduce_sum(hidden, 1)]


def _collected(monkeypatch, builds):
    """(group, how its inputs lie, inputs, results) of every group that runs."""
    found = []
    run = Fused.__call__

    def noting(group, *arrays):
        before = [array._host.copy() for array in arrays]
        results = run(group, *arrays)
        if results is not None:
            found.append((group, before, [result._host.copy() for result in results]))
        return results

    monkeypatch.setattr(Fused, "__call__", noting)
    for build in builds:
        with tf.Graph().as_default(), tf.device("/gpu:0"):
            tf.set_random_seed(1)
            x, labels = tf.placeholder(tf.float32, [16, 20]), tf.placeholder(tf.int32, [16])
            fetches = build(x, labels)
            with tf.Session() as session:
                session.run(tf.global_variables_initializer())
                session.run(fetches, {x: IMAGES, labels: LABELS})
    return found


def test_groups_of_models_compile_and_give_what_the_step_gave(monkeypatch, host_code):
    builds = [_perceptron, _transformer, _recurrent, _convolutional, _narrow]
    jobs, results = [], []
    for group, inputs, made in _collected(monkeypatch, builds):
        if not all(array.size for array in inputs):
            continue
        inputs = [np.array(array, order="C") for array in inputs]
        try:
            planned = group.planned([array_of(array) for array in inputs])
        except (Untraceable, AttributeError) as error:
            if "matmul" in str(error) or "'T'" in str(error):
                continue  # a library computes the product and what follows
            pytest.fail(f"{[a.shape for a in inputs]}: {error}")
        jobs.append(SimpleNamespace(calls=planned, inputs=inputs))
        results.append(made)
    assert len(jobs) > 15
    compiled_without_spills([launch for job in jobs for launch in job.calls.launches], "sm_90")
    if shutil.which("g++") is None:
        return
    for found, wanted in zip(Batch(jobs, host_code).results(), results, strict=True):
        for one, other in zip(found, wanted, strict=True):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            tolerance = 2e-2 if one.dtype.itemsize == 2 else 1e-4
            np.testing.assert_allclose(
                one.astype("f8"), other.astype("f8"), rtol=tolerance, atol=tolerance
            )
