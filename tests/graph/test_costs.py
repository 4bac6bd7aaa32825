"""What a graph costs by the node, in calls of functions: they do not depend on the machine.

Each bound is a little above what it takes today; `tests/bench/graphs.py` has the times. A step's
own counts are held in `tests/bench`.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tfsession as tf

_NODES = 400


def _calls(work):
    """How many functions `work()` calls, of Python and of C."""
    count = 0

    def note(frame, event, argument):
        nonlocal count
        # Comprehensions are functions in Python 3.11 alone.
        is_call = event == "call" and not frame.f_code.co_name.endswith("comp>")
        count += is_call or event == "c_call"

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def _chain(nodes):
    x = y = tf.placeholder(tf.float32, [10], name="x")
    for _ in range(nodes // 2):
        y = tf.multiply(y, x)
        y = y + x
    return x, y


def _layers(nodes):
    x = y = tf.placeholder(tf.float32, [10], name="x")
    for number in range(nodes // 5):
        with tf.name_scope(f"layer{number}"):
            y = tf.tanh(y * tf.constant(np.full(10, 0.5, np.float32)) + tf.constant(0.5))
    return x, y


def _made(build, nodes):
    return lambda: build(nodes)


def _differentiated(build, nodes):
    x, y = build(nodes)
    return lambda: tf.gradients(y, x)


def _imported(build, nodes):
    with tf.Graph().as_default() as graph:
        build(nodes)
    graph_def = graph.as_graph_def()
    return lambda: tf.import_graph_def(graph_def, name="")


def _exported(build, nodes):
    build(nodes)
    return tf.get_default_graph().as_graph_def


def _first_run(build, nodes):
    x, y = build(nodes)
    session = tf.Session()
    return lambda: session.run(y, {x: np.zeros(10, np.float32)})


# Name: (most calls a node, what is done, of which graph).
COSTS = {
    "making": (64, _made, _chain),
    "making, with constants": (71, _made, _layers),
    "gradients": (168, _differentiated, _chain),
    "import": (69, _imported, _chain),
    "import, with constants": (69, _imported, _layers),
    "export": (16, _exported, _chain),
    "first run": (126, _first_run, _chain),
    "first run, with constants": (106, _first_run, _layers),
}


@pytest.mark.parametrize(("most", "prepare", "build"), COSTS.values(), ids=COSTS)
def test_a_node_costs_few_calls(most, prepare, build):
    """By the difference between two sizes: so it is linear, too."""

    def count(nodes):
        with tf.Graph().as_default(), tf.device("/cpu:0"):
            return _calls(prepare(build, nodes))

    # In a thread: operations keep the stack that made them, and pytest's is deep.
    with ThreadPoolExecutor(1) as pool:
        counts = list(pool.map(count, (_NODES, _NODES, 3 * _NODES)))  # the first for what is late
    assert (counts[2] - counts[1]) / (2 * _NODES) <= most
