"""What a cached step costs beside its kernels, in calls of functions: they do not depend on the
machine. `tests/bench/overhead.py` has the times.
"""

import sys

import pytest

import tfsession as tf

ONE = {"inter_op_parallelism_threads": 1}


def _calls(work):
    """How many functions `work()` calls, of Python and of C; the fewest of a few times."""
    counts = []
    for _ in range(3):
        count = 0

        def note(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            work()
        finally:
            sys.setprofile(None)
        counts.append(count)
    return min(counts) - 2  # `work` itself, and the end of the profile


class Program:
    def __init__(self, **config):
        self.a, self.b = tf.placeholder(tf.float32, []), tf.placeholder(tf.float32, [])
        self.c, self.d = self.a * self.b, self.a + self.b
        self.k = tf.constant(3.0)
        self.feeds = {self.a: 2.0, self.b: 3.0}
        self.session = tf.Session(config=tf.ConfigProto(**config) if config else None)
        self.run = self.session.run
        self.call = self.session.make_callable(self.c, [self.a, self.b])
        self.fixed = self.session.make_callable(self.k)


# Name: (most calls, configuration, what is done).
COSTS = {
    "a constant": (11, {}, lambda p: p.run(p.k)),
    "a constant's callable": (9, {}, lambda p: p.fixed()),
    "one fed op": (16, {}, lambda p: p.run(p.c, p.feeds)),
    "one fed op's callable": (14, {}, lambda p: p.call(2.0, 3.0)),
    "a list": (19, {}, lambda p: p.run([p.c, p.d], p.feeds)),
    "a tuple": (19, {}, lambda p: p.run((p.c, p.d), p.feeds)),
    "a dict": (20, {}, lambda p: p.run({"c": p.c, "d": p.d}, p.feeds)),
    "a nested structure": (39, {}, lambda p: p.run({"c": p.c, "n": (p.d, [p.k])}, p.feeds)),
    "one at a time": (23, ONE, lambda p: p.run(p.c, p.feeds)),
    "one at a time, callable": (21, ONE, lambda p: p.call(2.0, 3.0)),
    "with a deadline": (24, {"operation_timeout_in_ms": 9999}, lambda p: p.run(p.c, p.feeds)),
}


@pytest.mark.parametrize(("most", "config", "work"), COSTS.values(), ids=COSTS)
def test_a_cached_step_calls_few_functions(fresh_graph, most, config, work):
    with tf.device("/cpu:0"):
        program = Program(**config)
    with program.session:
        expected = work(program)
        assert work(program) == expected
        assert _calls(lambda: work(program)) <= most


def test_operations_cost_one_call_each(fresh_graph):
    """Nothing is looked up, counted or compared between two operations of a segment."""
    x = tf.placeholder(tf.float32, [2])
    with tf.device("/cpu:0"):
        short, long = x, x
        for _ in range(10):
            short = tf.sinh(short)
        for _ in range(110):
            long = tf.sinh(long)
    with tf.Session() as session:
        costs = []
        for fetch in (short, long):
            call = session.make_callable(fetch.op, [x])
            call([0.0, 0.0])
            costs.append(_calls(lambda call=call: call([0.0, 0.0])))
    assert costs[1] - costs[0] <= 100
