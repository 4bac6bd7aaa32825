"""Kernels that draw classes, on the host; what they draw is TensorFlow's, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.kernels.random_draws import Draws, Start
from tfsession.resources.philox import Philox

_DRAWS = Draws(1 << 13, of_c_library=True)
# Blocks that TensorFlow sets aside for each class of a sample.
_BLOCKS_PER_SAMPLE = 512
_LONG = 1 << 64


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _log_uniform(key: int, counter: int, size: int) -> Iterator[Any]:
    """Parts of the endless stream of classes drawn."""
    wide = np.dtype(np.float64)
    while True:
        numbers = _DRAWS.uniform(np, Start.of(key, counter), 2 * _PART, wide)
        yield (np.exp(numbers * math.log1p(size)).astype(np.int64) - 1) % size
        counter += _PART


def _uniform(key: int, counter: int, size: int) -> Iterator[Any]:
    least = (_LONG - 1) % size + 1  # those below would make some classes likelier
    is_power = size & (size - 1) == 0
    while True:
        numbers = _DRAWS.long_words(np, Start.of(key, counter), 2 * _PART)
        if is_power:
            yield (numbers & np.uint64(size - 1)).astype(np.int64)
        else:
            yield (numbers[numbers >= np.uint64(least)] % np.uint64(size)).astype(np.int64)
        counter += _PART


# Blocks drawn at once.
_PART = 256


def _log_uniform_chance(classes: Any, size: int) -> Any:
    found = np.log((classes + 2.0) / (classes + 1.0)) / math.log1p(size)
    return found.astype(np.float32)


def _uniform_chance(classes: Any, size: int) -> Any:
    return np.full(classes.shape, np.float32(1.0 / size))


def _sample(stream: Iterator[Any], count: int, unique: bool) -> tuple[Any, int]:
    """The classes of a sample, and how many were drawn for it."""
    chosen: dict[int, None] = {}
    drawn = 0
    sample = np.empty(count, np.int64)  # first of all: a count that has no room is refused at once
    for part in stream:
        if not unique:
            sample[drawn : drawn + len(part)] = part[: count - drawn]
            drawn += len(part)
            if drawn >= count:
                return sample, count
            continue
        for value in part.tolist():
            drawn += 1
            chosen[value] = None
            if len(chosen) == count:
                return np.array(list(chosen), np.int64), drawn
    raise AssertionError("the stream has no end")


def _expected(chance: Any, count: int, drawn: int) -> Any:
    """How often a class of this chance is expected among the classes drawn."""
    if drawn == count:
        return chance * np.float32(count)
    return -np.expm1(np.float32(drawn) * np.log1p(-chance))


def _check_true(classes: Any, num_true: int) -> None:
    if classes.ndim != 2:
        raise _refuse("true_classes must be a matrix")
    if classes.shape[1] != num_true:
        raise _refuse(
            f"true_classes must have num_true columns, expected: {classes.shape[1]} was: {num_true}"
        )


def _register(
    op_type: str, stream: Callable[..., Iterator[Any]], chance: Callable[..., Any]
) -> None:
    @kernel(op_type, stateful=True, device="CPU")
    def sampler(
        ctx: Any,
        true_classes: Any,
        *,
        num_true: int,
        num_sampled: int,
        unique: bool,
        range_max: int,
        seed: int,
        seed2: int,
    ) -> Any:
        _check_true(true_classes, num_true)
        if unique and range_max < num_sampled:
            raise _refuse("Sampler's range is too small.")
        philox = ctx.state.get("philox") or ctx.state.setdefault("philox", Philox(seed, seed2))
        first = philox.reserve(num_sampled * _BLOCKS_PER_SAMPLE)
        sample, drawn = _sample(stream(philox.key, first, range_max), num_sampled, unique)
        counts = (
            _expected(chance(classes, range_max), num_sampled, drawn)
            for classes in (true_classes, sample)
        )
        return sample, *counts


_register("LogUniformCandidateSampler", _log_uniform, _log_uniform_chance)
_register("UniformCandidateSampler", _uniform, _uniform_chance)


@kernel("AllCandidateSampler", device="CPU")
def all_candidates(xp: Any, true_classes: Any, *, num_true: int, num_sampled: int) -> Any:
    """Every class once."""
    _check_true(true_classes, num_true)
    counts = [np.ones(s, np.float32) for s in (true_classes.shape, (num_sampled,))]
    return np.arange(num_sampled), *counts


@kernel("ComputeAccidentalHits", device="CPU")
def compute_accidental_hits(
    xp: Any, true_classes: Any, sampled_candidates: Any, *, num_true: int
) -> Any:
    """Examples and places where a sample holds a true class."""
    _check_true(true_classes, num_true)
    if sampled_candidates.ndim != 1:
        raise _refuse("sampled_candidates must be a vector, which is typically an output from "
                      "CandidateSampler")  # fmt: skip
    order = np.argsort(sampled_candidates, kind="stable")
    ranked, true = sampled_candidates[order], true_classes.reshape(-1)
    # Of a class that was drawn twice, the last place.
    behind = np.searchsorted(ranked, true, side="right")
    hits = np.flatnonzero(behind)
    hits = hits[ranked[behind[hits] - 1] == true[hits]]
    indices = (hits // num_true).astype(np.int32)
    ids = order[behind[hits] - 1].astype(np.int64)
    return indices, ids, np.full(hits.size, -np.finfo(np.float32).max, np.float32)
