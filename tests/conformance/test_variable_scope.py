"""Variable scopes under real TensorFlow and here: names of all operations, collections, errors."""

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.spec("variables")]

PRELUDE = """
import numpy as np


def summary():
    graph = tf.get_default_graph()
    keys = sorted(k for k in graph.get_all_collection_keys() if isinstance(k, str))
    return (
        [(op.name, op.type, op.colocation_groups()) for op in graph.get_operations()],
        [(key, [getattr(item, "name", None) for item in tf.get_collection(key)]) for key in keys],
    )
"""
# With the values of slices, of what is read of the whole, and of one step of training.
SLICED = """
tf.set_random_seed(3)
with tf.variable_scope("s", partitioner=tf.fixed_size_partitioner(3)):
    v = tf.get_variable("v", [7, 4], initializer=tf.truncated_normal_initializer(seed=1))
    b = tf.get_variable("b", [], initializer=tf.zeros_initializer())
    w = tf.get_variable("w", initializer=tf.constant([1.0, 2, 3, 4]), use_resource=True)
with tf.variable_scope("s", reuse=True):
    again = tf.get_variable("v", [7, 4]) is v
u = tf.get_variable("u", [8, 4], partitioner=tf.min_max_variable_partitioner(4, 0, 32))
x = tf.get_variable("x", [8, 4], partitioner=tf.variable_axis_size_partitioner(40, axis=1),
                    regularizer=lambda t: tf.reduce_sum(t))
p = tf.create_partitioned_variables([6, 2], [2, 1], tf.ones_initializer())
"""
PROGRAMS = {
    "partitioned": SLICED
    + """
specs = [part._save_slice_info.spec for part in x]
out = summary(), again, v.name, v.shape, v.dtype, len(v), w.shape, specs, len(p)
""",
    "partitioned values": SLICED
    + """
rows = tf.nn.embedding_lookup(v, [0, 6, 3, 3], partition_strategy="div")
whole = tf.matmul(u, x, transpose_b=True)
y = tf.reduce_sum(tf.convert_to_tensor(v) * 2.0) + tf.reduce_sum(w) + tf.reduce_sum(whole)
train = tf.train.GradientDescentOptimizer(0.125).minimize(y)
assigns = v.assign(tf.ones([7, 4])), v.assign_add(list(v))
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    out = [session.run([list(v), w.as_tensor(), rows])]
    slopes = session.run(tf.gradients(y, list(v) + list(u)))  # sums, in what order one likes
    out += [[np.round(slope, 4) for slope in slopes]]
    session.run(train)
    out += [[np.round(part, 3) for part in session.run(list(u) + list(x))]]
    out += [*map(session.run, assigns), session.run(list(v))]
""",
    **{
        f"partitioned, {name}": SLICED + text
        for name, text in {
            "with another name": "tf.get_variable('s/v')",
            "without": "tf.get_variable('s/v/part_0', partitioner=tf.fixed_size_partitioner(2))",
            "twice": "tf.get_variable('q', [2, 2], partitioner=lambda shape, dtype: [2, 2])",
            "by nothing": "tf.get_variable('q', [2, 2], partitioner=3)",
            "in no slices": "tf.get_variable('q', [2], partitioner=lambda shape, dtype: [0])",
            "of another rank": "tf.get_variable('q', [2], partitioner=lambda shape, dtype: [1, 1])",
            "of no shape": "tf.get_variable('q', partitioner=tf.fixed_size_partitioner(2))",
            "again": "tf.get_variable('u', [8, 4], partitioner=tf.fixed_size_partitioner(4))",
            "as another": (
                "with tf.variable_scope('s', reuse=True, partitioner=tf.fixed_size_partitioner(2)):"
                " tf.get_variable('v', [7, 4])"
            ),
            "of other shape": (
                "with tf.variable_scope('s', reuse=True): tf.get_variable('v', [7, 5])"
            ),
            "not there": "with tf.variable_scope('s', reuse=True): tf.get_variable('n', [7, 5],"
            " partitioner=tf.fixed_size_partitioner(2))",
            "of two lengths": "tf.create_partitioned_variables([6, 2], [2], tf.ones_initializer())",
            "of a scalar": "tf.create_partitioned_variables([], [], tf.ones_initializer())",
        }.items()
    },
    "nested": """
with tf.variable_scope("a") as a:
    tf.get_variable("x", [1])
    with tf.variable_scope("b"):
        tf.get_variable("x", [1])
        tf.no_op()
with tf.variable_scope(a), tf.name_scope("n"):
    tf.get_variable("z", [1], trainable=False)
    tf.no_op()
with tf.variable_scope(a, auxiliary_name_scope=False):
    tf.no_op()
out = summary()
""",
    "default names": """
for _ in range(3):
    with tf.variable_scope(None, "layer") as scope:
        tf.get_variable("w", [1, 1])
with tf.variable_scope("layer_1", reuse=True):
    tf.get_variable("w")
out = summary(), scope.name, scope.original_name_scope
""",
    "regularizers": """
with tf.variable_scope("a", regularizer=tf.nn.l2_loss):
    x = tf.get_variable("x", [2, 2])
    tf.get_variable("free", [2], regularizer=tf.no_regularizer)
loss = tf.losses.get_total_loss() + tf.get_collection("regularization_losses")[0]
out = summary(), tf.random_normal([]).op.get_attr("seed2")
""",
    "seeds after regularizers": """
tf.set_random_seed(1)
for name in "ab":
    w = tf.get_variable(name, [2, 2], regularizer=lambda w: 0.1 * tf.reduce_sum(tf.abs(w)))
with tf.Session() as session:
    session.run(tf.global_variables_initializer())
    out = session.run(w)
""",
    "getter": """
def custom_getter(getter, *args, **kwargs):
    kwargs["name"] += "_renamed"
    return getter(*args, **kwargs)
with tf.variable_scope("a", custom_getter=custom_getter):
    with tf.variable_scope("b", custom_getter=custom_getter):
        tf.get_variable("x", [1])
    tf.get_variable("y", initializer=tf.zeros([2]))
out = summary()
""",
    "getter without constraint": """
def custom_getter(getter, name, shape, dtype, initializer, regularizer, reuse, trainable,
                  collections, caching_device, partitioner, validate_shape, use_resource,
                  synchronization, aggregation):
    return getter(name, shape)
tf.get_variable("x", [1], custom_getter=custom_getter)
out = summary()
""",
    "getter of another name": """
tf.get_variable("x", [1], custom_getter=lambda original, name, **kwargs: original(name, **kwargs))
""",
    "initializers": """
tf.get_variable("a", [2], initializer=tf.zeros_initializer)
tf.get_variable("b", [2], initializer=tf.zeros_initializer())
tf.get_variable("c", initializer=[1.0, 2.0])
tf.get_variable("d", initializer=lambda: tf.ones([3]))
tf.get_variable("e", [2], tf.int32)
tf.get_variable("f", [2, 3], use_resource=True)
out = summary()
""",
    "shape with initializer": 'tf.get_variable("x", [2], initializer=tf.zeros([2]))',
    "unknown shape": 'tf.get_variable("x", [None, 2])',
    "no shape": 'tf.get_variable("x")',
    "unknown shape with initializer": """
tf.get_variable("x", [None, 2], initializer=tf.zeros_initializer())
""",
    "no shape with initializer": 'tf.get_variable("x", initializer=tf.zeros_initializer())',
    "no shape and a number": """
tf.get_variable("x", initializer=3)
out = summary()
""",
    "no initializer": """
for dtype in (tf.int8, tf.uint16, tf.int64, tf.bool, tf.string, tf.float16, tf.float64):
    tf.get_variable(dtype.name, [1], dtype)
out = summary()
""",
    "complex without initializer": 'tf.get_variable("x", [1], tf.complex64)',
    "reuse of nothing": """
with tf.variable_scope("a", reuse=True):
    tf.get_variable("x", [1])
""",
    "another shape": """
tf.get_variable("x", [1])
with tf.variable_scope("", reuse=True):
    tf.get_variable("x", [2])
""",
    "another dtype": """
tf.get_variable("x", [1])
with tf.variable_scope("", reuse=True):
    tf.get_variable("x", [1], tf.float64)
""",
    "neither name": "tf.variable_scope(None).__enter__()",
    "reuse with a default name": 'tf.variable_scope(None, "a", reuse=True).__enter__()',
    "regularizer that is none": 'tf.get_variable("x", [1], regularizer=3)',
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_ends_alike(assert_same, program):
    assert_same(PRELUDE, program)
