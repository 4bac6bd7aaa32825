"""Which optimizations a ConfigProto asks for."""

from dataclasses import asdict

import pytest

import tfsession as tf
from tfsession.runtime.config import Optimizations, optimizations_of

TOGGLES = {
    "constant_folding": "folds",
    "common_subgraph_elimination": "shares",
    "arithmetic_optimization": "simplifies",
    "dependency_optimization": "bypasses",
    "remapping": "fuses",
}
OFF, ON = 2, 1
# No toggle is about it: the level decides.
ALL = {*TOGGLES.values(), "records"}


def _on(**fields):
    """What is on, for fields of optimizer_options and of rewrite_options."""
    graph_options = tf.ConfigProto().graph_options
    for name, value in fields.items():
        known = name in graph_options.optimizer_options.DESCRIPTOR.fields_by_name
        options = graph_options.optimizer_options if known else graph_options.rewrite_options
        setattr(options, name, value)
    found = optimizations_of(tf.ConfigProto(graph_options=graph_options))
    return {name for name, value in asdict(found).items() if value is True}


NO_REWRITER = {"folds", "shares", "fuses", "records"}
ROWS = [
    ({}, ALL),
    ({"opt_level": 0}, ALL),
    ({"opt_level": -1}, set()),
    ({"opt_level": -1, "do_constant_folding": True}, {"folds"}),
    ({"opt_level": -1, "do_common_subexpression_elimination": True}, {"shares"}),
    ({"do_constant_folding": False, "do_common_subexpression_elimination": False}, ALL),
    ({"disable_meta_optimizer": True}, NO_REWRITER),
    (
        {"disable_meta_optimizer": True, "constant_folding": OFF},
        NO_REWRITER,
    ),
    ({"disable_meta_optimizer": True, "opt_level": -1, "constant_folding": ON}, set()),
    *(({toggle: OFF}, ALL - {name}) for toggle, name in TOGGLES.items()),
    *(({"opt_level": -1, toggle: ON}, {name}) for toggle, name in TOGGLES.items()),
    *(({toggle: 3}, ALL) for toggle in TOGGLES),
]


@pytest.mark.parametrize(("fields", "on"), ROWS)
def test_what_is_asked_for(fields, on):
    assert _on(**fields) == on


@pytest.mark.parametrize(("asked", "limit"), [(0, 10 << 20), (-1, 10 << 20), (5, 5)])
def test_the_limit_of_folded_constants(asked, limit):
    config = tf.ConfigProto()
    config.graph_options.optimizer_options.max_folded_constant_in_bytes = asked
    assert optimizations_of(config).most_folded_bytes == limit


def test_all_is_on_without_a_configuration():
    assert optimizations_of(None) == Optimizations() == optimizations_of(tf.ConfigProto())
    assert Optimizations().rewrites
    assert not Optimizations(False, False, False, False).rewrites
