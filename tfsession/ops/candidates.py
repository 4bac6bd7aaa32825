"""Samples of classes, for losses over very many classes."""

from __future__ import annotations

from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_op
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank
from tfsession.graph.tensor import Tensor
from tfsession.ops.random import seed_attrs

Candidates = tuple[Tensor, Tensor, Tensor]


def _sampler_shape(op: Operation) -> list[Shape]:
    true = with_rank(op.inputs[0]._shape, 2)
    count = op.attrs["num_sampled"]
    batch = None if true is None else true[0]
    return [(count,), (batch, op.attrs["num_true"]), (count,)]


def _hits_shape(op: Operation) -> list[Shape]:
    with_rank(op.inputs[0]._shape, 2)
    with_rank(op.inputs[1]._shape, 1)
    return [(None,), (None,), (None,)]


_SEEDS = ("seed: int = 0", "seed2: int = 0")
for _name in ("LogUniform", "Uniform", "All"):
    define_op(
        f"{_name}CandidateSampler",
        inputs=["true_classes: int64"],
        outputs=[
            "sampled_candidates: int64",
            "true_expected_count: float",
            "sampled_expected_count: float",
        ],
        attrs=[
            "num_true: int >= 1",
            "num_sampled: int >= 1",
            "unique: bool",
            *(["range_max: int >= 1"] if _name != "All" else []),
            *_SEEDS,
        ],
        stateful=True,
        shape=_sampler_shape,
    )
define_op(
    "ComputeAccidentalHits",
    inputs=["true_classes: int64", "sampled_candidates: int64"],
    outputs=["indices: int32", "ids: int64", "weights: float"],
    attrs=["num_true: int", *_SEEDS],
    shape=_hits_shape,
)


@export("random.log_uniform_candidate_sampler", "nn.log_uniform_candidate_sampler")
def log_uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Candidates:
    """Classes drawn so that class k is as likely as `log((k + 2) / (k + 1)) / log(range_max + 1)`.

    That fits words numbered by falling frequency.

    Args:
        true_classes: a matrix of int64, a row of `num_true` classes for each example.
        num_true: how many true classes an example has.
        num_sampled: how many classes to draw, for all examples together.
        unique: draw no class twice.
        range_max: how many classes there are.
        seed: with the graph's, it determines the draws.
        name: name of the operation.

    Returns:
        The classes drawn; how often each true class, and how often each class drawn, is expected
        in such a sample.

    A step raises InvalidArgumentError when `unique` asks for more classes than there are.
    """
    attrs = {"num_true": num_true, "num_sampled": num_sampled, "unique": unique,
             "range_max": range_max, **seed_attrs(seed)}  # fmt: skip
    return create_op("LogUniformCandidateSampler", [true_classes], attrs, name)  # type: ignore[no-any-return]


@export("random.uniform_candidate_sampler", "nn.uniform_candidate_sampler")
def uniform_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    range_max: int,
    seed: int | None = None,
    name: str | None = None,
) -> Candidates:
    """Classes drawn with equal chances; see `log_uniform_candidate_sampler`."""
    attrs = {"num_true": num_true, "num_sampled": num_sampled, "unique": unique,
             "range_max": range_max, **seed_attrs(seed)}  # fmt: skip
    return create_op("UniformCandidateSampler", [true_classes], attrs, name)  # type: ignore[no-any-return]


@export("random.all_candidate_sampler", "nn.all_candidate_sampler")
def all_candidate_sampler(
    true_classes: Any,
    num_true: int,
    num_sampled: int,
    unique: bool,
    seed: int | None = None,
    name: str | None = None,
) -> Candidates:
    """All classes, each once: to see what sampling costs; see `log_uniform_candidate_sampler`."""
    attrs = {"num_true": num_true, "num_sampled": num_sampled, "unique": unique,
             **seed_attrs(seed)}  # fmt: skip
    return create_op("AllCandidateSampler", [true_classes], attrs, name)  # type: ignore[no-any-return]


@export("nn.compute_accidental_hits")
def compute_accidental_hits(
    true_classes: Any,
    sampled_candidates: Any,
    num_true: int,
    seed: int | None = None,
    name: str | None = None,
) -> Candidates:
    """Where a sample holds a true class of an example.

    Returns:
        The numbers of the examples, the places in the sample, and for each the most negative
        float32: added to a logit, it takes the class out of a softmax.
    """
    attrs = {"num_true": num_true, **seed_attrs(seed)}
    inputs = [true_classes, sampled_candidates]
    return create_op("ComputeAccidentalHits", inputs, attrs, name)  # type: ignore[no-any-return]
