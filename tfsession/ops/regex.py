"""Texts held against patterns."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.graph.shape_fns import same_as

define_op(
    "StaticRegexFullMatch",
    ["input: string"],
    ["output: bool"],
    ["pattern: string"],
    same_as(0),
)
