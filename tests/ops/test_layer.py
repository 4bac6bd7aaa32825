"""tf.layers: variables, names, scopes, collections, values; as classes and as functions."""

import numpy as np
import pytest

import tfsession as tf

RNG = np.random.default_rng(0)
IMAGE = RNG.normal(size=(2, 6, 5, 3)).astype("float32")
ROWS = RNG.normal(size=(4, 3)).astype("float32")


def ph(*shape, dtype="float32"):
    return tf.placeholder(dtype, shape)


def names(kind=None):
    graph = tf.get_default_graph()
    return [op.name for op in graph.get_operations() if kind is None or op.type == kind]


def values(fetches, feeds=None):
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return session.run(fetches, feeds)


def test_dense_is_a_product_a_bias_and_an_activation(device, fresh_graph):
    with tf.device(device):
        y = tf.layers.dense(
            tf.constant(ROWS), 2, tf.nn.relu, kernel_initializer=tf.ones_initializer(),
            bias_initializer=tf.constant_initializer(0.5), name="fc",
        )  # fmt: skip
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        found = session.run(y)
    wanted = np.maximum(ROWS.sum(axis=1, keepdims=True) + 0.5, 0) * np.ones((1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert [v.name for v in tf.trainable_variables()] == ["fc/kernel:0", "fc/bias:0"]
    assert y.name == "fc/Relu:0"


def test_dense_over_the_last_of_many_dimensions(fresh_graph):
    x = RNG.normal(size=(2, 3, 4)).astype("float32")
    layer = tf.layers.Dense(5, use_bias=False)
    y = layer(tf.constant(x))
    assert y.shape.as_list() == [2, 3, 5]
    found, kernel = values([y, layer.kernel])
    np.testing.assert_allclose(found, x @ kernel, rtol=1e-5)
    assert layer.compute_output_shape([None, 7, 4]).as_list() == [None, 7, 5]


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv3d"])
def test_convolutions_are_those_of_nn(name, fresh_graph):
    rank = int(name[4])
    x = RNG.normal(size=(2, *(5, 4, 3)[:rank], 2)).astype("float32")
    build = getattr(tf.layers, name)
    y = build(tf.constant(x), 3, 2, strides=1, padding="same", activation="tanh", name="c")
    kernel, bias = tf.global_variables()
    assert kernel.shape.as_list() == [*[2] * rank, 2, 3]
    plain = tf.tanh(tf.nn.convolution(x, kernel, "SAME") + bias)
    found, wanted = values([y, plain])
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_channels_first_are_channels_last_transposed(fresh_graph):
    with tf.variable_scope("v", reuse=tf.AUTO_REUSE):
        found = []
        for data_format, x in (
            ("channels_last", IMAGE),
            ("channels_first", IMAGE.transpose(0, 3, 1, 2)),
        ):
            arguments = {"data_format": data_format}
            y = tf.layers.conv2d(tf.constant(x), 4, 3, name="c", **arguments)
            y = tf.layers.max_pooling2d(y, 2, 1, **arguments)
            y = tf.layers.separable_conv2d(y, 3, 2, depth_multiplier=2, name="s", **arguments)
            y = tf.layers.conv2d_transpose(y, 2, (2, 3), strides=2, name="t", **arguments)
            found.append(tf.layers.average_pooling2d(y, (2, 1), (2, 1), "same", **arguments))
    first, last = values(found)[1], values(found[:1])[0]
    assert len(tf.global_variables()) == 7
    assert first.shape == last.transpose(0, 3, 1, 2).shape


def test_both_layouts_give_the_same(fresh_graph):
    x = RNG.normal(size=(2, 7, 3)).astype("float32")
    with tf.variable_scope("v", reuse=tf.AUTO_REUSE):
        last = tf.layers.conv1d(tf.constant(x), 4, 3, name="c")
        last = tf.layers.separable_conv1d(last, 2, 2, name="s")
        last = tf.layers.max_pooling1d(last, 2, 2)
        first = tf.constant(x.transpose(0, 2, 1))
        first = tf.layers.conv1d(first, 4, 3, name="c", data_format="channels_first")
        first = tf.layers.separable_conv1d(first, 2, 2, name="s", data_format="channels_first")
        first = tf.layers.max_pooling1d(first, 2, 2, data_format="channels_first")
    one, other = values([last, first])
    np.testing.assert_allclose(one, other.transpose(0, 2, 1), rtol=1e-5, atol=1e-6)


def test_layers_without_a_name_are_counted(fresh_graph):
    x = ph(2, 2)
    assert tf.layers.dense(x, 3).name == "dense/BiasAdd:0"
    assert tf.layers.dense(x, 3).name == "dense_1/BiasAdd:0"
    with tf.variable_scope("s"):
        assert tf.layers.dense(x, 3).name == "s/dense/BiasAdd:0"
    assert tf.layers.Dense(3).name == "dense_4"


def test_reuse(fresh_graph):
    x = ph(2, 2)
    layer = tf.layers.Dense(3, name="d")
    with pytest.raises(ValueError, match="has not been used yet"):
        layer.scope_name  # noqa: B018
    assert [layer(x).name, layer(x).name] == ["d/BiasAdd:0", "d/BiasAdd_1:0"]
    assert layer.scope_name == "d"
    assert layer.built
    again = tf.layers.dense(x, 3, name="d", reuse=True)
    assert again.name == "d_1/BiasAdd:0"
    assert len(tf.global_variables()) == 2
    with pytest.raises(ValueError, match="Variable d/kernel already exists, disallowed"):
        tf.layers.dense(x, 3, name="d")
    with pytest.raises(ValueError, match="Variable e/kernel does not exist"):
        tf.layers.dense(x, 3, name="e", reuse=True)
    assert layer.count_params() == 9


def test_regularizers_give_losses_once(fresh_graph):
    x = tf.constant(np.ones((2, 2), "float32"))
    ones = tf.ones_initializer()
    layer = tf.layers.Dense(
        3, kernel_initializer=ones, kernel_regularizer=lambda w: 0.5 * tf.reduce_sum(w),
        activity_regularizer=lambda y: tf.reduce_sum(y), name="d",
    )  # fmt: skip
    layer(x)
    layer(x)
    losses = tf.losses.get_regularization_losses()
    assert losses == layer.losses
    assert losses[0].name == "d/kernel/Regularizer/mul:0"
    assert values(losses) == [3.0, 6.0, 6.0]
    tf.layers.dense(x, 3, name="d", reuse=True, kernel_regularizer=tf.nn.l2_loss)
    assert len(tf.losses.get_regularization_losses()) == 3


def test_what_is_not_trained(fresh_graph):
    layer = tf.layers.Conv2D(2, 3, trainable=False)
    layer(ph(1, 5, 5, 2))
    assert tf.trainable_variables() == []
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == len(layer.weights) == 2
    norm = tf.layers.BatchNormalization(name="n")
    norm(ph(1, 5, 5, 2))
    assert [v.op.name for v in norm.trainable_variables] == ["n/gamma", "n/beta"]
    assert [v.op.name for v in norm.variables[2:]] == ["n/moving_mean", "n/moving_variance"]
    norm.trainable = False
    assert norm.trainable_weights == []


def test_dropout(fresh_graph):
    x, training = tf.constant(np.ones((40, 25), "float32")), ph(dtype="bool")
    kept = tf.layers.dropout(x, 0.25)
    lost = tf.layers.dropout(x, 0.25, training=True, seed=1)
    either = tf.layers.dropout(x, 0.25, training=training)
    found, wanted = values([kept, lost])
    assert (found == 1).all()
    assert set(np.unique(wanted)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.6 < (wanted > 0).mean() < 0.9
    assert (values(either, {training: False}) == 1).all()
    assert (values(either, {training: True}) == 0).any()


@pytest.mark.parametrize(
    ("shape", "static", "fed", "wanted"),
    [
        ([None, 3, 2], [None, 6], (4, 3, 2), (4, 6)),
        ([2, 3], [2, 3], (2, 3), (2, 3)),
        ([None, None, 2], [None, None], (3, 5, 2), (3, 10)),
        ([5], [5, 1], (5,), (5, 1)),
        (None, [None, None], (2, 1, 3), (2, 3)),
    ],
)
def test_flatten(shape, static, fed, wanted, fresh_graph):
    x = tf.placeholder("float32", shape)
    y = tf.layers.flatten(x)
    assert y.shape.as_list() == static
    assert values(y, {x: np.zeros(fed)}).shape == wanted


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("axis", [-1, 1])
def test_batch_normalization_trains_and_infers(axis, fused, device, fresh_graph):
    x, training = tf.constant(IMAGE), ph(dtype="bool")
    with tf.device(device):
        layer = tf.layers.BatchNormalization(axis, momentum=0.75, fused=fused, name="n")
        y = layer(x, training=training)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert len(updates) == 2
    assert updates == layer.updates
    axes = tuple(d for d in range(4) if d != axis % 4)
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    mean, variance = IMAGE.mean(axis=axes), IMAGE.var(axis=axes)
    wanted = (IMAGE - mean.reshape(shape)) / np.sqrt(variance.reshape(shape) + 0.001)
    with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as session:
        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(
            session.run(y, {training: False}), IMAGE / np.sqrt(1.001), rtol=1e-5
        )
        found = session.run([y, *updates], {training: True})[0]
        np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)
        averages = session.run([layer.moving_mean, layer.moving_variance])
        np.testing.assert_allclose(averages[0], 0.25 * mean, rtol=1e-4, atol=1e-6)
        # A fused batch tells the unbiased variance.
        count = IMAGE.size / mean.size
        factor = 1 if fused is False else count / (count - 1)
        np.testing.assert_allclose(averages[1], 0.75 + 0.25 * factor * variance, rtol=1e-4)
        session.run(updates, {training: False})
        for before, after in zip(
            averages, session.run([layer.moving_mean, layer.moving_variance]), strict=True
        ):
            np.testing.assert_allclose(before, after, rtol=1e-6)


def test_batch_normalization_of_rows_names_its_nodes(fresh_graph):
    tf.layers.batch_normalization(ph(4, 3), training=True)
    found = [name.removeprefix("batch_normalization/") for name in names()][17:]
    assert found == [
        *("moments/mean/reduction_indices", "moments/mean", "moments/StopGradient"),
        *("moments/SquaredDifference", "moments/variance/reduction_indices", "moments/variance"),
        *("moments/Squeeze", "moments/Squeeze_1"),
        *("AssignMovingAvg/decay", "AssignMovingAvg/sub", "AssignMovingAvg/mul", "AssignMovingAvg"),
        *("AssignMovingAvg_1/decay", "AssignMovingAvg_1/sub", "AssignMovingAvg_1/mul"),
        *("AssignMovingAvg_1", "batchnorm/add/y", "batchnorm/add", "batchnorm/Rsqrt"),
        *("batchnorm/mul", "batchnorm/mul_1", "batchnorm/mul_2", "batchnorm/sub"),
        "batchnorm/add_1",
    ]
    assert [v.name for v in tf.global_variables()] == [
        f"batch_normalization/{name}:0"
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    ]
    assert len(tf.trainable_variables()) == 2


def test_fused_batch_normalization_names_its_nodes(fresh_graph):
    tf.layers.batch_normalization(ph(None, 3, 3, 2), training=ph(dtype="bool"), center=False)
    assert names("FusedBatchNormV3") == [
        f"batch_normalization/cond/FusedBatchNormV3{end}" for end in ("", "_1")
    ]
    assert names("AssignSub") == [f"batch_normalization/AssignMovingAvg{end}" for end in ("", "_1")]
    assert [op.name for op in tf.get_collection("update_ops")] == names("AssignSub")


def test_a_layer_of_ones_own(fresh_graph):
    class Scaled(tf.layers.Layer):
        def build(self, input_shape):
            self.scale = self.add_variable("scale", [input_shape.as_list()[-1]],
                                           initializer=tf.ones_initializer())  # fmt: skip
            super().build(input_shape)

        def call(self, inputs, times=1):
            self.add_update(lambda: tf.assign(self.scale, self.scale * 2))
            return inputs * self.scale * times

    layer = Scaled()
    assert layer.name == "scaled_1"
    y = layer(tf.constant(ROWS.astype("float64")), times=3)
    assert layer.dtype == "float64"
    assert [v.name for v in layer.weights] == ["scaled/scale:0"]
    assert len(tf.get_collection("update_ops")) == 1
    np.testing.assert_allclose(values(y), 3 * ROWS.astype("float64"))


BAD = [
    (lambda: tf.layers.dense(ph(None, None), 3), "last dimension of the inputs to a Dense layer"),
    (lambda: tf.layers.dense(ph(2), 3), "expected min_ndim=2, found ndim=1"),
    (lambda: tf.layers.dense(ph(2, 2), 3, activation="swoosh"), "Unknown activation function: swo"),
    (lambda: tf.layers.conv2d(ph(2, 2, 2), 3, 3), "expected min_ndim=4, found ndim=3"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, 3), 3, (3, 3, 3)), "must be a tuple of 2 integers"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, 3), 3, 0), "`kernel_size` cannot contain 0"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, 3), 3, 3, padding="foo"), "The `padding` argument must"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, 3), 3, 3, data_format="x"), "The `data_format` argument"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, None), 3, 3), "channel dimension of the inputs"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, 3), 0, 3), "Expected a strictly positive value"),
    (lambda: tf.layers.conv2d(ph(2, 5, 5, 3), 3, 3, 2, dilation_rate=2), "not supported in"),
    (lambda: tf.layers.max_pooling2d(ph(2, 3), 2, 2), "expected ndim=4, found ndim=2"),
    (lambda: tf.layers.dropout(ph(2, 3), 1.5, training=True), "expected a value between 0 and 1"),
    (lambda: tf.layers.batch_normalization(ph(2, None)), "Input has undefined `axis` dimension"),
    (lambda: tf.layers.batch_normalization(ph(2, 3), axis=2), "Invalid value for `axis` argument"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "phrase"), BAD)
def test_refused_when_built(build, phrase, fresh_graph):
    with pytest.raises(ValueError, match=phrase):
        build()


def test_refused_with_other_errors(fresh_graph):
    with pytest.raises(TypeError, match="built with a floating-point dtype"):
        tf.layers.dense(tf.constant([[1]]), 3)
    with pytest.raises(NotImplementedError, match="renorm=True is not supported; leave it out"):
        tf.layers.batch_normalization(ph(2, 3), renorm=True)
    with pytest.raises(TypeError, match="unexpected keyword argument 'unitz'"):
        tf.layers.dense(ph(2, 3), 2, unitz=3)
    layer = tf.layers.Dense(3)
    layer(ph(2, 2))
    with pytest.raises(ValueError, match="expected axis -1 of input shape to have value 2"):
        layer(ph(2, 5))


def test_what_an_input_must_be(fresh_graph):
    spec = tf.layers.InputSpec(shape=[2, None], dtype="float32", max_ndim=2)
    spec.check(ph(2, 5), 0, "mine")
    for x, phrase in (
        (ph(2, 5, 5), "expected ndim=2, found ndim=3"),
        (ph(3, 5), "expected shape="),
        (ph(2, 5, dtype="int32"), "expected dtype=float32"),
    ):
        with pytest.raises(ValueError, match=phrase):
            spec.check(x, 0, "mine")
