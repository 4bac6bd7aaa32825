"""Control flow that is meant to end differently, each under its row in docs/differences.md."""

import pytest

pytestmark = pytest.mark.oracle

PRELUDE = """
x = tf.placeholder(tf.float32, [2], name="x")
p = tf.placeholder(tf.bool, [], name="p")
"""

CHANGED = (
    "Input tensor 'while/Const:0' enters the loop with type int32, but has type float32 after one "
    "iteration."
)

CHOICES = {
    "11.2": [
        (
            "a `while_loop` whose body gives another dtype",
            "out = err(lambda: tf.while_loop(lambda i: i < 3, lambda i: tf.to_float(i), [0]).name)",
            ("TypeError", CHANGED),
        ),
        (
            "`tf.case` of nothing, or by Python bools in a dict",
            "out = [err(lambda: tf.case(k)) for k in ([], {}, {True: lambda: x})]",
            [
                ("ValueError", "'pred_fn_pairs' must have at least one pair."),
                ("ValueError", "'pred_fn_pairs' must have at least one pair."),
                ("TypeError", "pred must be a Tensor, got: True"),
            ],
        ),
    ],
}


@pytest.mark.choices(CHOICES)
def test_differs_by_choice(choice, assert_by_choice):
    assert_by_choice(PRELUDE, choice)
