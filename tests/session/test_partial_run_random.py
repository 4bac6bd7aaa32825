"""Random graphs in random partial runs: any split gives what one run gives; no misuse harms."""

import os
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfsession as tf

# Many more, once: TFSESSION_TEST_EXAMPLES=10000.
EXAMPLES = int(os.environ.get("TFSESSION_TEST_EXAMPLES", "300"))
DEVICES = ("/cpu:0", "/gpu:0", "/gpu:1")
BINARY = (tf.add, tf.multiply, tf.subtract, tf.maximum)
UNARY = (tf.negative, tf.identity, tf.square, lambda x: tf.reshape(tf.reshape(x, [3, 1]), [3]))

many = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
# By seeds: hypothesis's own generator would take most of the time.
seeds = st.integers(0, 2**32 - 1)


def some(pick, items):
    """A part of the items, in a random order."""
    return pick.sample(items, pick.randint(0, len(items)))


class RandomGraph:
    """Operations anywhere on placeholders, and variables that count.

    A variable gets a power of two from each operation that adds to it, so that its total tells
    which of them ran, and whether once.
    """

    def __init__(self, pick):
        self.tensors = [tf.constant([1.0, -2.0, 0.5])]
        self.feeds = [tf.placeholder(tf.float32, [3]) for _ in range(pick.randint(1, 4))]
        self.tensors += self.feeds
        for _ in range(pick.randint(1, 14)):
            self.add(pick)
        self.variables, self.additions = [], []
        for number in range(pick.randint(0, 2)):
            with tf.device(pick.choice(DEVICES)):
                self.variables.append(tf.Variable(0.0, use_resource=bool(number)))
            for power in range(pick.randint(1, 4)):
                with tf.control_dependencies([tf.identity(pick.choice(self.tensors))]):
                    added = self.variables[-1].assign_add(2.0**power)
                self.additions.append((added.op, number, 2.0**power))

    def add(self, pick):
        """One more operation, whose value may be fed instead."""
        inputs = pick.choices(self.tensors, k=pick.randint(1, 2))
        controls = pick.choices(self.tensors, k=pick.choice((0, 0, 0, 1, 2)))
        with tf.device(pick.choice(DEVICES)), tf.control_dependencies([c.op for c in controls]):
            self.tensors.append(pick.choice(BINARY if len(inputs) == 2 else UNARY)(*inputs))
        if pick.random() < 0.1:
            self.feeds.append(self.tensors[-1])

    def needs(self, tensor):
        """The feeds that a value waits for."""
        return {tensor} if tensor in self.feeds else self.runs_after(tensor.op)

    def runs_after(self, op):
        """The feeds that an operation waits for."""
        found = [self.needs(tensor) for tensor in op.inputs]
        for control in op.control_inputs:
            is_fed = control.type == "Placeholder"
            found.append({control.outputs[0]} if is_fed else self.runs_after(control))
        return set().union(*found)

    def totals(self, additions, fed):
        """What the variables have come to once these feeds are there."""
        found = [0.0] * len(self.variables)
        for op, number, value in additions:
            found[number] += value if self.runs_after(op) <= fed else 0.0
        return found


@many
@given(seeds)
def test_any_split_gives_what_one_run_gives(seed):
    pick = random.Random(seed)
    with tf.Graph().as_default() as graph:
        made = RandomGraph(pick)
        initializer = tf.global_variables_initializer()
    feeds = {feed: np.array(pick.choices((0.1, -3.0, 7.5), k=3), np.float32) for feed in made.feeds}
    fetches = some(pick, [t for t in made.tensors if t not in feeds]) or made.tensors[:1]
    additions = some(pick, made.additions)
    targets = [addition[0] for addition in additions]
    with tf.Session(graph=graph) as session:
        session.run(initializer)
        values, _ = session.run([fetches, targets], feeds)
        wanted = {t: value.tobytes() for t, value in zip(fetches, values, strict=True)}
        assert session.run(made.variables) == made.totals(additions, set(feeds))
    with tf.Session(graph=graph) as session:
        session.run(initializer)
        handle = session.partial_run_setup([fetches, targets], made.feeds)
        found, fed = {}, set()
        while len(fed) < len(feeds) or len(found) < len(wanted):
            assert session.run(made.variables) == made.totals(additions, fed)
            now = some(pick, [t for t in made.feeds if t not in fed])
            left = some(pick, [t for t in fetches if t not in found])
            ready = [t for t in left if made.needs(t) <= fed.union(now)]
            if len(ready) < len(left):
                with pytest.raises(tf.errors.InvalidArgumentError, match="can't be computed"):
                    session.partial_run(handle, left, {t: feeds[t] for t in now})
            result = session.partial_run(handle, [*ready, *now], {t: feeds[t] for t in now})
            fed.update(now)
            found |= {t: value.tobytes() for t, value in zip(ready, result, strict=False)}
        assert found == wanted
        assert session.run(made.variables) == made.totals(additions, fed)
        assert not session._partial_runs._runs


FEEDS = ("a:0", "b:0", "c:0", "s:0")
FETCHES = ("sum:0", "product:0", "text:0")
NEEDS = {"sum:0": "ab", "product:0": "abc", "text:0": "s", "k:0": ""}


class Model:
    """What a partial run must answer, from the rules of the specification."""

    def __init__(self, pick):
        self.feeds = set(some(pick, [*FEEDS[:3], "k:0"])) | {"a:0", "b:0", "c:0"}
        self.fetches = set(some(pick, FETCHES[:2])) | {"sum:0"}
        if pick.random() < 0.5:
            self.feeds.add("s:0")
            self.fetches.add("text:0")
        self.fed, self.fetched, self.is_over = {}, set(), False

    def answer(self, fetches, feeds):
        """The class and a part of the text of the error, or the values."""
        for key, value in feeds.items():
            if isinstance(value, tuple):  # an error of its own
                return value[1:]
            if key not in (*FEEDS, *NEEDS):
                return TypeError, "Cannot interpret feed_dict key as Tensor"
        for fetch in fetches:
            if fetch in ("zz:0", "zz"):
                return ValueError, "cannot be interpreted as a Tensor"
        wanted = [fetch for fetch in fetches if fetch not in feeds]
        if "sum" in wanted:
            return RuntimeError, "requires empty `target_list`"
        if not wanted and not feeds:
            return []
        problem = self.problem(wanted, feeds)
        if problem is not None:
            return tf.errors.InvalidArgumentError, problem
        self.fed |= feeds
        self.fetched.update(wanted)
        self.is_over = self.fed.keys() == self.feeds and self.fetched == self.fetches
        begun = "product:0" in self.fetches and {"a:0", "b:0", "c:0"} <= self.fed.keys()
        if begun and np.shape(self.fed["c:0"]) == (2,):
            self.is_over = True
            return tf.errors.InvalidArgumentError, "Incompatible shapes"
        return [feeds[fetch] if fetch in feeds else self.value(fetch) for fetch in fetches]

    def problem(self, wanted, feeds):
        if self.is_over:
            return "Must run 'setup' before performing partial runs!"
        for verb, names, declared, done in (
            ("feed", feeds, self.feeds, self.fed),
            ("fetch", wanted, self.fetches, self.fetched),
        ):
            for name in names:
                if name not in declared:
                    return f"The {verb} {name} was not specified in partial_run_setup."
                if name in done:
                    return f"The {verb} {name} has already been {verb.replace('feed', 'fed')}"
        there = self.fed.keys() | feeds.keys()
        for name in wanted:
            if not {f"{need}:0" for need in NEEDS[name]} <= there:
                return "can't be computed from the feeds that have been fed so far."
        return None

    def value(self, name):
        if name == "text:0":
            return self.fed["s:0"].encode()
        total = np.add(self.fed["a:0"], self.fed["b:0"])
        return total if name == "sum:0" else np.multiply(total, self.fed["c:0"])


VALUES = {
    # A value that is a tuple goes with the error that it brings.
    "a:0": ([1.0, 2.0, 3.0], ([1.0], ValueError, "Cannot feed value of shape")),
    "b:0": ([0.5, 0.0, 2.0], ("x", ValueError, "could not convert string to float")),
    "c:0": ([4.0, 5.0, 6.0], 3.0, [1.0, 2.0]),
    "s:0": ("x", "é"),
    "k:0": (2.0,),
    "sum:0": ([1.0, 2.0, 3.0],),
    "zz:0": (1.0,),
    "zz": (1.0,),
}


@many
@given(seeds)
def test_no_misuse_harms_the_session_or_other_runs(seed):
    pick = random.Random(seed)
    with tf.Graph().as_default() as graph:
        with tf.device(pick.choice(DEVICES)):
            a, b = (tf.placeholder(tf.float32, [3], name=name) for name in "ab")
            total = tf.add(a, b, name="sum")
            tf.multiply(total, tf.placeholder(tf.float32, name="c"), name="product")
        tf.identity(tf.placeholder(tf.string, name="s"), name="text")
        tf.placeholder(tf.float32, name="k")
    session = tf.Session(graph=graph)
    models = {}
    for _ in range(pick.randint(1, 20)):
        if not models or pick.random() < 0.2:
            model = Model(pick)
            fetches, feeds = sorted(model.fetches), sorted(model.feeds)
            models[session.partial_run_setup(fetches, feeds)] = model
        handle = pick.choice(list(models))
        keys = some(pick, list(VALUES))[: pick.randint(0, 4)]
        feeds = {key: pick.choice(VALUES[key]) for key in keys}
        fetches = some(pick, [*NEEDS, "sum", "zz"])[: pick.choice((0, 1, 1, 2))]
        hold(session, models[handle], handle, fetches, feeds)
        if pick.random() < 0.1:
            assert session.run(total, {a: [1.0] * 3, b: [2.0] * 3}).tolist() == [3.0] * 3
    for handle, model in models.items():
        feeds = {key: VALUES[key][0] for key in sorted(model.feeds - model.fed.keys())}
        hold(session, model, handle, sorted(model.fetches - model.fetched), feeds)
        assert model.is_over
    assert not session._partial_runs._runs
    session.close()


def hold(session, model, handle, fetches, feeds):
    """Make a call, and compare its outcome with the model's."""
    wanted = model.answer(fetches, feeds)
    given = {key: v[0] if isinstance(v, tuple) else v for key, v in feeds.items()}
    if isinstance(wanted, list):
        found = session.partial_run(handle, fetches, given)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert np.array_equal(one, other)
    else:
        with pytest.raises(wanted[0]) as caught:
            session.partial_run(handle, fetches, given)
        assert wanted[1] in str(caught.value)
