"""tf.layers under real TensorFlow and here: nodes, variables, collections, numbers.

TensorFlow's own copy of the layers is asked, which needs no Keras; it lacks batch normalization,
whose names stand in tests/ops/test_layer.py.
"""

import inspect
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import tfsession

pytestmark = [pytest.mark.oracle, pytest.mark.spec("variables")]


@pytest.fixture(scope="module")
def layers(tf):
    """All of TensorFlow's layers in one namespace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorflow.python.keras.legacy_tf_layers import (  # noqa: PLC0415
            base,
            convolutional,
            core,
            pooling,
        )
    found = {}
    for module in (base, core, convolutional, pooling):
        found |= {name: value for name, value in vars(module).items() if name[0] != "_"}
    return SimpleNamespace(**found)


def scopes(tf, layers, x):
    with tf.variable_scope("outer", regularizer=tf.nn.l2_loss) as scope:
        y = layers.dense(x, 4, name="a", kernel_regularizer=lambda w: 0.1 * tf.reduce_sum(w))
        y = layers.dense(y, 3)
        layers.dense(x, 4, name="a", reuse=True)
    with tf.variable_scope(scope, reuse=True):
        layers.dense(x, 4, name="a")
    shared = layers.Dense(3, tf.tanh, use_bias=False, name="shared")
    with tf.name_scope("elsewhere"):
        y = shared(y) + shared(shared(y))
    with tf.variable_scope("auto", reuse=tf.AUTO_REUSE):
        for _ in range(2):
            y = layers.dense(y, 3, name="twice")
    return layers.Dense(5)(y)


def network(tf, layers, x):
    y = tf.reshape(x, [-1, 6, 6, 2])
    y = layers.conv2d(y, 4, 3, padding="same", activation=tf.nn.relu)
    y = layers.max_pooling2d(y, 2, 2)
    y = layers.conv2d(y, 3, [1, 2], name="second", bias_initializer=tf.ones_initializer())
    y = layers.average_pooling2d(y, (2, 1), (1, 1), "same")
    y = layers.dropout(layers.flatten(y), 0.4, training=True, seed=3)
    return layers.dense(y, 5, kernel_initializer=tf.truncated_normal_initializer(stddev=0.1))


def dilated(tf, layers, x):
    y = tf.reshape(x, [-1, 6, 6, 2])
    y = layers.conv2d(y, 3, 2, dilation_rate=2, padding="same")
    y = layers.separable_conv2d(y, 4, (2, 3), depth_multiplier=2)
    return layers.conv2d_transpose(y, 2, 3, strides=2, padding="same", name="up")


def unknown_sizes(tf, layers, x):
    y = tf.reshape(x, tf.stack([-1, 6, 6, 2]))
    y = tf.placeholder_with_default(y, [None, None, None, 2])
    y = layers.conv2d_transpose(y, 3, (2, 3), strides=(2, 1))
    return layers.flatten(layers.conv2d(y, 2, 2))


def sequences(tf, layers, x):
    y = tf.reshape(x, [-1, 9, 8])
    y = layers.conv1d(y, 4, 3, strides=2, activation=tf.nn.elu)
    y = layers.max_pooling1d(y, 2, 1, "same")
    y = layers.separable_conv1d(y, 3, 2)
    return layers.average_pooling1d(y, 2, 2)


def volumes(tf, layers, x):
    y = tf.reshape(x, [-1, 3, 4, 3, 2])
    y = layers.conv3d(y, 2, 2, padding="same")
    y = layers.max_pooling3d(y, 2, 1)
    return layers.conv3d_transpose(y, 2, (1, 2, 2), strides=2)


def regularized(tf, layers, x):
    y = layers.dense(
        x, 3, activity_regularizer=lambda y: 0.5 * tf.reduce_sum(y * y), trainable=False,
        kernel_constraint=lambda w: w, bias_regularizer=tf.nn.l2_loss,
    )  # fmt: skip
    return tf.add_n(tf.get_collection("regularization_losses")) + y


def drop_by_tensor(tf, layers, x):
    training = tf.placeholder_with_default(False, [])
    return layers.dropout(x, 0.5, training=training)


PROGRAMS = [
    *(scopes, network, dilated, unknown_sizes, sequences, volumes, regularized, drop_by_tensor),
]


def _summary(tf, layers, program):
    data = np.random.default_rng(1).normal(size=(3, 72)).astype("float32")
    with tf.Graph().as_default() as graph:
        tf.set_random_seed(4)
        x = tf.placeholder(tf.float32, [None, 72], name="x")
        y = program(tf, layers, x)
        nodes = [(op.name, op.type) for op in graph.get_operations()]
        collections = {
            key: [getattr(item, "name", None) for item in tf.get_collection(key)]
            for key in graph.get_all_collection_keys()
            if isinstance(key, str) and key != "cond_context"
        }
        variables = [(v.name, v.shape.as_list(), v.trainable) for v in tf.global_variables()]
        with tf.Session(graph=graph) as session:
            session.run(tf.global_variables_initializer())
            found = session.run([y, *tf.global_variables()], {x: data})
    return (nodes, str(y.shape), collections, variables), found


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_same_graph_and_numbers(program, tf, layers):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, their_values = _summary(tf, layers, program)
    ours, our_values = _summary(tfsession, tfsession.layers, program)
    for mine, wanted in zip(ours, theirs, strict=True):
        assert mine == wanted
    for mine, wanted in zip(our_values, their_values, strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=2e-5, atol=2e-6)


def _arguments(function):
    return list(inspect.signature(function).parameters)


NAMES = [
    *("dense", "dropout", "flatten", "conv1d", "conv2d", "conv3d", "conv2d_transpose"),
    *("conv3d_transpose", "separable_conv1d", "separable_conv2d", "max_pooling1d"),
    *("max_pooling2d", "max_pooling3d", "average_pooling1d", "average_pooling2d"),
    *("average_pooling3d", "Dense", "Dropout", "Flatten", "Conv1D", "Conv2D", "Conv3D"),
    *("Conv2DTranspose", "Conv3DTranspose", "SeparableConv1D", "SeparableConv2D"),
    *("MaxPooling1D", "MaxPooling2D", "MaxPooling3D", "AveragePooling1D", "AveragePooling2D"),
    "AveragePooling3D",
]


@pytest.mark.parametrize("name", NAMES)
def test_same_arguments(name, layers):
    assert _arguments(getattr(tfsession.layers, name)) == _arguments(getattr(layers, name))
