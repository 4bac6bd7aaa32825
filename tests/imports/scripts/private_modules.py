"""Modules that are private to TensorFlow, and that programs import nonetheless."""

from __future__ import print_function

import os
import tempfile

import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.framework import dtypes, ops
from tensorflow.python.framework.errors_impl import InvalidArgumentError
from tensorflow.python.ops import array_ops, math_ops, variable_scope as vs
from tensorflow.python.platform import gfile
from tensorflow.python.util import nest

try:
    from tensorflow.contrib import no_such_thing
except ImportError:
    no_such_thing = None

assert tf.VERSION == tf.__version__ and int(tf.__version__.split(".")[0]) < 2
assert ops.Tensor is tf.Tensor and math_ops.add is tf.add and dtypes.float32 is tf.float32
assert not hasattr(tf, "no_such_name")
folder = os.path.join(tempfile.mkdtemp(), "a")
gfile.MakeDirs(folder)
assert gfile.Exists(folder) and gfile.IsDirectory(folder)
graph = ops.Graph()
with graph.as_default(), vs.variable_scope("scope"):
    v = vs.get_variable("v", [], dtypes.int32, tf.zeros_initializer(dtype=tf.int32))
    total = math_ops.reduce_sum(array_ops.concat([[v + 1], array_ops.constant([2, 3])], 0))
    init = tf.global_variables_initializer()
copied = graph_pb2.GraphDef.FromString(graph.as_graph_def().SerializeToString())
with tf.Session(graph=graph, config=config_pb2.ConfigProto(allow_soft_placement=True)) as sess:
    sess.run(init)
    try:
        sess.run(total, {v: [1, 2]})
    except (InvalidArgumentError, ValueError) as error:
        print(type(error).__name__)
    print(sess.run(total), len(copied.node) > 5, nest.flatten([1, (2, 3)]))
