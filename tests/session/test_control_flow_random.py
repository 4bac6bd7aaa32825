"""Random programs of conditionals and loops give what plain Python gives, wherever they run."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfsession as tf
from tfsession.runtime.execution import Execution

F = np.float32
VALUES = [F(1.5), F(-2.0)]
_copied = Execution._copied
TRACE = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)


def _while_loop(condition, body, values):
    while condition(*values):
        values = body(*values)
    return values


# The language of the programs, evaluated at once: each word as tfsession has it.
PLAIN = SimpleNamespace(
    add=lambda a, b: F(a + b),
    subtract=lambda a, b: F(a - b),
    maximum=max,
    halve=lambda a: F(a * F(0.5)),
    less=lambda a, b: bool(a < b),
    number=lambda i: F(i),
    cond=lambda p, yes, no: yes() if p else no(),
    while_loop=_while_loop,
    on=lambda device, build: build(),
)


def _on(device, build):
    with tf.device(device):
        return build()


BUILT = SimpleNamespace(
    add=tf.add,
    subtract=tf.subtract,
    maximum=tf.maximum,
    halve=lambda a: a * 0.5,
    less=tf.less,
    number=lambda i: tf.cast(i, tf.float32),
    cond=tf.cond,
    while_loop=tf.while_loop,
    on=_on,
)


@st.composite
def programs(draw, names=("x", "y"), depth=3):
    """An expression of one float, as text."""

    def inner(names=names):
        return draw(programs(names, depth - 1))

    kind = draw(st.integers(0, 6)) if depth else 0
    new = f"v{len(names)}"
    if kind == 0:
        return draw(st.sampled_from([*names, "L.number(3)"]))
    if kind == 1:
        word = draw(st.sampled_from(["add", "subtract", "maximum"]))
        return f"L.{word}({inner()}, {inner()})"
    if kind == 2:
        return f"L.halve({inner()})"
    if kind == 3:
        return f"L.on('{draw(st.sampled_from(['/cpu:0', '/gpu:0']))}', lambda: {inner()})"
    if kind in (4, 5):
        return f"L.cond(L.less({inner()}, {inner()}), lambda: {inner()}, lambda: {inner()})"
    turns = draw(st.integers(0, 3))
    body = inner((*names, new, f"L.number(i{new})"))
    return (
        f"L.while_loop(lambda i{new}, {new}: i{new} < {turns}, "
        f"lambda i{new}, {new}: (i{new} + 1, {body}), (0, {inner()}))[1]"
    )


@settings(max_examples=60)
@given(st.lists(programs(), min_size=1, max_size=3))
def test_a_program_gives_what_python_gives(texts):
    expected = [eval(t, {"L": PLAIN, "x": VALUES[0], "y": VALUES[1]}) for t in texts]
    with tf.Graph().as_default() as graph:
        x, y = (tf.placeholder(tf.float32, [], name) for name in "xy")
        fetches = [tf.identity(eval(t, {"L": BUILT, "x": x, "y": y})) for t in texts]
        feeds = dict(zip((x, y), VALUES, strict=True))
        with tf.Session(graph=graph) as session:
            assert session.run(fetches, feeds) == expected
            assert session.run(fetches, feeds, TRACE, tf.RunMetadata()) == expected
            handle = session.partial_run_setup(fetches, [x, y])
            assert session.partial_run(handle, fetches, feeds) == expected


@settings(max_examples=40)
@given(st.lists(programs(), min_size=1, max_size=3))
def test_every_copy_that_a_program_makes_was_told(texts):
    copied = Counter()

    def note(execution, scope, transfer):
        copied[transfer] += 1
        return _copied(execution, scope, transfer)

    with tf.Graph().as_default() as graph:
        x, y = (tf.placeholder(tf.float32, [], name) for name in "xy")
        words = {"L": BUILT, "x": x, "y": y}
        fetches = [tf.identity(eval(t.replace("/cpu:0", "/gpu:1"), words)) for t in texts]
        config = tf.ConfigProto(device_options={"simulated_gpus": "2"})
        with tf.Session(graph=graph, config=config) as session, pytest.MonkeyPatch.context() as m:
            told = session.explain_placement(fetches).transfers
            feeds = dict(zip((x, y), VALUES, strict=True))
            session.run(fetches, feeds)
            m.setattr(Execution, "_copied", note)
            session.run(fetches, feeds, TRACE, tf.RunMetadata())
    ends = {(t.tensor, t.source, t.destination): t for t in told}
    names = {
        (t.tensor.name, *("host" if m is None else m.name for m in (t.source, t.destination))): n
        for t, n in copied.items()
    }
    assert set(names) <= set(ends)
    for key, row in ends.items():
        if not row.conditional and not row.loop:
            assert names[key] == 1


def _nested(depth):
    if depth == 0:
        return "L.add(x, y)"
    loop = f"lambda i{depth}, v{depth}: (i{depth} + 1, L.halve(L.add(v{depth}, {{}})))"
    return (f"L.while_loop(lambda i{depth}, v{depth}: i{depth} < 2, {loop}, (0, x))[1]").format(
        _nested(depth - 1)
    )


@pytest.mark.parametrize("depth", [3, 9])
def test_loops_in_loops(depth):
    """Also deeper than Python's own blocks may be."""
    text = _nested(depth)
    with tf.Graph().as_default() as graph:
        x, y = (tf.placeholder(tf.float32, [], name) for name in "xy")
        built = eval(text, {"L": BUILT, "x": x, "y": y})
        with tf.Session(graph=graph) as session:
            found = session.run(built, dict(zip((x, y), VALUES, strict=True)))
    assert found == eval(text, {"L": PLAIN, "x": VALUES[0], "y": VALUES[1]})
