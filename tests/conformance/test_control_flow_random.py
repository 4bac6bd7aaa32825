"""Random programs of conditionals and loops under real TensorFlow and under tfsession."""

import random

import pytest

pytestmark = [pytest.mark.oracle, pytest.mark.spec("11.1")]

PRELUDE = """
x = tf.placeholder(tf.float32, [])
y = tf.placeholder(tf.float32, [])
# The default optimizers make dead values of some loops.
off = tf.ConfigProto()
off.graph_options.rewrite_options.disable_meta_optimizer = True
s = tf.Session(config=off)
"""


def program(rng, names=("x", "y"), depth=4):
    """An expression of one float, as text."""

    def inner(names=names):
        return program(rng, names, depth - 1)

    kind = rng.choice(["leaf", "sum", "half", "cond", "cond", "loop"]) if depth else "leaf"
    new = f"v{len(names)}"
    if kind == "leaf":
        return rng.choice([*names, "tf.constant(3.0)"])
    if kind == "sum":
        return f"tf.{rng.choice(['add', 'subtract', 'maximum'])}({inner()}, {inner()})"
    if kind == "half":
        return f"({inner()} * 0.5)"
    if kind == "cond":
        return f"tf.cond({inner()} < {inner()}, lambda: {inner()}, lambda: {inner()})"
    body = inner((*names, new, f"tf.to_float(i{new})"))
    return (
        f"tf.while_loop(lambda i{new}, {new}: i{new} < {rng.randrange(4)}, "
        f"lambda i{new}, {new}: (i{new} + 1, {body}), [0, {inner()}])[1]"
    )


@pytest.mark.parametrize("seed", range(12))
def test_a_program_gives_the_same(assert_same, seed):
    rng = random.Random(seed)
    fetches = ", ".join(f"{program(rng)} + 0.0" for _ in range(3))
    assert_same(
        PRELUDE,
        f"z = [{fetches}]\n"
        "out = [s.run(z, {x: a, y: b}) for a, b in ((1.5, -2.0), (0.0, 1.0))]\n"
        "out.append([k.name for k in tf.get_default_graph().get_operations()])",
    )
