"""`tf.contrib.layers` and slim: names of variables as in TensorFlow 1.15, values by formulas."""

import logging

import numpy as np
import pytest

import tfsession as tf

X = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6)
IMAGES = np.linspace(-1, 1, 2 * 6 * 6 * 2, dtype=np.float32).reshape(2, 6, 6, 2)


def ran(outputs, feeds=None):
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        return sess.run(outputs, feeds)


def names(key="variables"):
    return [v.op.name for v in tf.get_collection(key)]


def variable(name):
    return next(v for v in tf.global_variables() if v.op.name == name)


def test_fully_connected(fresh_graph):
    layers = tf.contrib.layers
    y = layers.fully_connected(
        X,
        3,
        biases_initializer=tf.constant_initializer(0.5),
        weights_regularizer=layers.l2_regularizer(0.25),
        variables_collections={"weights": ["kept"]},
        outputs_collections="outputs",
    )
    assert names() == ["fully_connected/weights", "fully_connected/biases"]
    assert names("model_variables") == names()
    assert names("kept") == ["fully_connected/weights"]
    outputs = layers.utils.convert_collection_to_dict("outputs")
    assert outputs == {"fully_connected": y}
    (loss,) = tf.losses.get_regularization_losses()
    found, weights, penalty = ran([y, variable("fully_connected/weights"), loss])
    np.testing.assert_allclose(found, np.maximum(X @ weights + 0.5, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(penalty, 0.25 * 0.5 * np.sum(weights**2), rtol=1e-5)
    assert np.abs(weights).max() <= np.sqrt(6 / (6 + 3))


@pytest.mark.parametrize(
    ("scope", "arguments", "expected"),
    [
        ("Conv", {}, (2, 6, 6, 3)),
        ("Conv", {"stride": 2, "padding": "VALID"}, (2, 2, 2, 3)),
        ("Conv", {"rate": 2}, (2, 6, 6, 3)),
    ],
)
def test_conv2d_is_the_layer_of_tf_layers(fresh_graph, scope, arguments, expected):
    y = tf.contrib.slim.conv2d(IMAGES, 3, [3, 3], activation_fn=None, **arguments)
    assert names() == [f"{scope}/weights", f"{scope}/biases"]
    w = variable(f"{scope}/weights")
    z = tf.nn.convolution(
        IMAGES,
        w,
        arguments.get("padding", "SAME"),
        [arguments.get("stride", 1)] * 2,
        [arguments.get("rate", 1)] * 2,
    )
    found, same = ran([y, z])
    assert found.shape == expected
    np.testing.assert_allclose(found, same, rtol=1e-5)


def test_other_convolutions(fresh_graph):
    layers = tf.contrib.layers
    shapes = [
        layers.conv2d_transpose(IMAGES, 3, 3, stride=2).shape.as_list(),
        layers.separable_conv2d(IMAGES, 4, 3, depth_multiplier=2, stride=2).shape.as_list(),
        layers.conv1d(IMAGES[:, 0], 5, 3).shape.as_list(),
        layers.conv2d_in_plane(IMAGES, 3).shape.as_list(),
        tf.contrib.slim.conv2d_same(IMAGES, 3, 3, 2, scope="same").shape.as_list(),
    ]
    assert shapes == [[2, 12, 12, 3], [2, 3, 3, 4], [2, 6, 5], [2, 6, 6, 2], [2, 3, 3, 3]]
    assert names() == [
        *("Conv2d_transpose/weights", "Conv2d_transpose/biases"),
        *("SeparableConv2d/depthwise_weights", "SeparableConv2d/pointwise_weights"),
        *("SeparableConv2d/biases", "Conv/weights", "Conv/biases"),
        *("ConvInPlane/weights", "ConvInPlane/biases", "same/weights", "same/biases"),
    ]


def test_pools(fresh_graph):
    slim = tf.contrib.slim
    found = ran(
        [slim.max_pool2d(IMAGES, 2), slim.avg_pool2d(IMAGES, [2, 2]), slim.pool(IMAGES, 2, "MAX")]
    )
    windows = IMAGES.reshape(2, 3, 2, 3, 2, 2)
    np.testing.assert_allclose(found[0], windows.max((2, 4)))
    np.testing.assert_allclose(found[1], windows.mean((2, 4)), atol=1e-6)
    assert found[2].shape == (2, 5, 5, 2)


@pytest.mark.parametrize("fused", [None, False])
@pytest.mark.parametrize("data", [X, IMAGES], ids=["rows", "images"])
def test_batch_norm_moves_its_averages(fresh_graph, data, fused):
    is_training = tf.placeholder(tf.bool, [])
    x = tf.placeholder(tf.float32, [None, *data.shape[1:]])
    arguments = {"is_training": is_training, "fused": fused, "scale": True, "decay": 0.5}
    y = tf.contrib.layers.batch_norm(x, **arguments)
    updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    assert len(updates) == 2
    forced = tf.contrib.layers.batch_norm(x, updates_collections=None, scope="own", **arguments)
    assert tf.get_collection(tf.GraphKeys.UPDATE_OPS) == updates
    assert sorted(n for n in names() if n.startswith("own")) == [
        *("own/beta", "own/gamma", "own/moving_mean", "own/moving_variance")
    ]
    axes = tuple(range(data.ndim - 1))
    mean, variance = data.mean(axes), data.var(axes)
    with tf.Session() as sess:
        sess.run(tf.global_variables_initializer())
        found = sess.run([y, forced], {x: data, is_training: True})
        for value in found:
            expected = (data - mean) / np.sqrt(variance + 0.001)
            np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)
        moved = sess.run(variable("own/moving_mean"))
        np.testing.assert_allclose(moved, 0.5 * mean, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(sess.run(variable("BatchNorm/moving_mean")), 0 * mean)
        sess.run(updates, {x: data, is_training: True})
        np.testing.assert_allclose(sess.run(variable("BatchNorm/moving_mean")), moved)
        average = sess.run(variable("own/moving_variance"))
        expected = (data - moved) / np.sqrt(average + 0.001)
        value = sess.run(forced, {x: data, is_training: False})
        np.testing.assert_allclose(value, expected, rtol=1e-3, atol=1e-4)


def test_layer_and_instance_norm(fresh_graph):
    layers = tf.contrib.layers
    first, second, third = ran(
        [
            layers.layer_norm(X),
            layers.layer_norm(IMAGES, begin_norm_axis=-1),
            layers.instance_norm(IMAGES),
        ]
    )
    assert names()[:2] == ["LayerNorm/beta", "LayerNorm/gamma"]
    centred = X - X.mean(1, keepdims=True)
    np.testing.assert_allclose(first, centred / X.std(1, keepdims=True), rtol=1e-4)
    for found, axes in ((second, (3,)), (third, (1, 2))):
        np.testing.assert_allclose(found.mean(axes), 0 * found.mean(axes), atol=1e-5)
        np.testing.assert_allclose(found.std(axes), 1 + 0 * found.std(axes), rtol=1e-3)


def test_shapes_and_small_layers(fresh_graph):
    layers = tf.contrib.layers
    ids = tf.constant([[0, 2], [2, 2]])
    embedded = layers.embed_sequence(ids, 3, 4, scope="e")
    again = layers.embed_sequence(ids, 3, 4, unique=True, scope="e", reuse=True)
    outputs = [
        layers.flatten(IMAGES),
        layers.one_hot_encoding([1, 0], 3),
        layers.softmax(X.reshape(2, 2, 6)),
        layers.unit_norm(X, 1),
        layers.dropout(X, is_training=False),
        layers.bias_add(X, initializer=tf.ones_initializer()),
        embedded,
        again,
    ]
    found = ran(outputs)
    assert found[0].shape == (2, 72)
    np.testing.assert_array_equal(found[1], [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(found[2].sum(-1), np.ones((2, 2)), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found[3], axis=1), np.ones(4), rtol=1e-5)
    np.testing.assert_array_equal(found[4], X)
    np.testing.assert_allclose(found[5], X + 1)
    np.testing.assert_array_equal(found[6], found[7])
    assert found[6].shape == (2, 2, 4)


def test_repeat_and_stack(fresh_graph):
    slim = tf.contrib.slim
    slim.repeat(X, 2, slim.fully_connected, 5, scope="fc")
    slim.stack(X, slim.fully_connected, [5, 4], scope="s")
    assert [n for n in names() if n.endswith("weights")] == [
        *("fc/fc_1/weights", "fc/fc_2/weights", "s/s_1/weights", "s/s_2/weights")
    ]


def test_arg_scope(fresh_graph):
    slim = tf.contrib.slim
    with slim.arg_scope([slim.conv2d], padding="VALID") as outer:
        with slim.arg_scope([slim.conv2d, slim.fully_connected], activation_fn=None):
            inner = slim.conv2d(IMAGES, 3, 3)
            assert inner.op.type == "BiasAdd"
            assert inner.shape.as_list() == [2, 4, 4, 3]
            assert slim.conv2d(IMAGES, 3, 3, padding="SAME").shape.as_list() == [2, 6, 6, 3]
        assert slim.conv2d(IMAGES, 3, 3).op.type == "Relu"
    with slim.arg_scope(outer):
        assert slim.conv2d(IMAGES, 3, 3).shape.as_list() == [2, 4, 4, 3]
    assert slim.conv2d(IMAGES, 3, 3).shape.as_list() == [2, 6, 6, 3]
    assert slim.current_arg_scope() == {}
    assert slim.has_arg_scope(slim.conv2d)
    with pytest.raises(ValueError, match="is not decorated with @add_arg_scope"):
        slim.arg_scope([len], a=1).__enter__()
    with pytest.raises(TypeError, match="list_ops_or_scope must either be"):
        slim.arg_scope(slim.conv2d, a=1).__enter__()
    with pytest.raises(ValueError, match="kwargs must be empty"):
        slim.arg_scope(outer, a=1).__enter__()

    @slim.add_arg_scope
    def own(a, b=2):
        return a, b

    with tf.contrib.framework.arg_scope([own], b=3):
        assert own(1) == (1, 3)
        assert own(1, b=4) == (1, 4)


def test_finding_variables(fresh_graph):
    framework = tf.contrib.framework
    with tf.variable_scope("a") as scope:
        framework.model_variable("w", [2])
        framework.local_variable([1.0], name="l")
    tf.get_variable("b/w", [1], trainable=False)
    found = {
        "all": framework.get_variables(),
        "scope": framework.get_variables(scope),
        "suffix": framework.get_variables_by_suffix("w"),
        "name": framework.get_variables_by_name("w"),
        "models": framework.get_model_variables(),
        "local": framework.get_local_variables(),
        "trained": framework.get_trainable_variables(),
        "restored": framework.get_variables_to_restore(exclude=["a"]),
    }
    assert {key: [v.op.name for v in value] for key, value in found.items()} == {
        "all": ["a/w", "b/w"],
        "scope": ["a/w"],
        "suffix": ["a/w", "b/w"],
        "name": ["a/w", "b/w"],
        "models": ["a/w"],
        "local": ["a/l"],
        "trained": ["a/w"],
        "restored": ["b/w"],
    }
    assert framework.get_unique_variable("a/w") is found["scope"][0]
    with pytest.raises(ValueError, match="Couldn't find variable c"):
        framework.get_unique_variable("c")


def test_regularizers(fresh_graph, caplog):
    layers = tf.contrib.layers
    w = tf.constant([1.0, -2.0])
    losses = [
        layers.l1_regularizer(0.5)(w),
        layers.l2_regularizer(0.5)(w),
        layers.l1_l2_regularizer(0.5, 0.25)(w),
        layers.l1_l2_regularizer(0.0, 0.25)(w),
        layers.sum_regularizer([layers.l1_regularizer(1.0), None])(w),
        layers.apply_regularization(layers.l2_regularizer(1.0), [w, w]),
    ]
    assert tf.losses.get_regularization_losses() == losses[-1:]
    np.testing.assert_allclose(ran(losses), [1.5, 1.25, 2.125, 0.625, 3.0, 5.0])
    with caplog.at_level(logging.INFO, "tfsession"):
        assert layers.l2_regularizer(0.0)(w) is None
    assert "Scale of 0 disables regularizer." in caplog.text
    for scale, text in ((1, "scale cannot be an integer"), (-0.5, "less than 0")):
        with pytest.raises(ValueError, match=text):
            layers.l2_regularizer(scale)


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize(("mode", "n"), [("FAN_IN", 900), ("FAN_OUT", 100), ("FAN_AVG", 500)])
def test_initializers_scale_the_variance(fresh_graph, mode, n, uniform):
    scaled = tf.contrib.layers.variance_scaling_initializer(2.0, mode, uniform, seed=1)
    value = ran(scaled([900, 100]))
    np.testing.assert_allclose(value.var(), 2.0 / n, rtol=0.05)


REFUSED = {
    "a rank": (lambda: tf.contrib.layers.conv2d(X, 3, 3), "expects input with rank 4, got 2"),
    "a layout": (lambda: tf.contrib.layers.conv2d(IMAGES, 3, 3, data_format="N"), "data_format"),
    "units": (lambda: tf.contrib.layers.fully_connected(X, 2.5), "num_outputs type"),
    "a mode": (lambda: tf.contrib.layers.variance_scaling_initializer(mode="F"), "Unknown mode"),
    "integers": (
        lambda: tf.contrib.layers.xavier_initializer(dtype=tf.int32),
        "non-floating point type",
    ),
    "debiasing": (
        lambda: tf.contrib.layers.batch_norm(X, zero_debias_moving_mean=True),
        "zero_debias_moving_mean is not supported",
    ),
    "an axis": (lambda: tf.contrib.layers.layer_norm(X, begin_norm_axis=2), "must be < rank"),
    "sizes": (lambda: tf.contrib.layers.embed_sequence([[1]]), "vocab size and embedding"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(fresh_graph, name):
    build, text = REFUSED[name]
    with pytest.raises((ValueError, TypeError, NotImplementedError), match=text):
        build()


def test_sizes_of_models(fresh_graph, capsys):
    tf.get_variable("w", [2, 3])
    tf.get_variable("b", [3], tf.float64)
    analyzer = tf.contrib.slim.model_analyzer
    assert analyzer.analyze_vars(tf.trainable_variables(), print_info=True) == (9, 48)
    assert "w:0 (float32 2x3) [6, bytes: 24]" in capsys.readouterr().out
    assert analyzer.analyze_ops(tf.get_default_graph()) > 9
