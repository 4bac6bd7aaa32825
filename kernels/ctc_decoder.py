"""Label sequences from CTC logits: the greedy way, and by prefix beam search.

The search is that of Graves, "Supervised Sequence Labelling with Recurrent Neural Networks" (2012),
section 7.5.3, in the order of updates that TensorFlow's documentation of its decoder implies.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsession.core.errors import FailedPreconditionError, InvalidArgumentError
from tfsession.core.rules import kernel

_NONE = -math.inf


def _check(inputs: Any, lengths: Any) -> None:
    if inputs.ndim != 3:
        raise InvalidArgumentError(None, None, "inputs is not a 3-Tensor")
    if not inputs.size:
        raise InvalidArgumentError(None, None, "inputs must not be empty")
    if lengths.ndim != 1:
        raise InvalidArgumentError(None, None, "sequence_length is not a vector")
    steps, batch, _ = inputs.shape
    if lengths.size != batch:
        raise FailedPreconditionError(
            None,
            None,
            "len(sequence_length) != batch_size.  len(sequence_length):  "
            f"{lengths.size} batch_size: {batch}",
        )
    for number, length in enumerate(lengths.tolist()):
        if length > steps:
            raise FailedPreconditionError(None, None, f"sequence_length({number}) <= {steps}")


def _sparse(rows: list[list[int]]) -> tuple[Any, Any, Any]:
    """Indices, values and shape of the sparse matrix of label sequences."""
    places = [(row, column) for row, labels in enumerate(rows) for column in range(len(labels))]
    values = list(itertools.chain.from_iterable(rows))
    sizes = [len(rows), max(map(len, rows))]
    return (
        np.array(places, np.int64).reshape(-1, 2),
        np.array(values, np.int64),
        np.array(sizes, np.int64),
    )


@kernel("CTCGreedyDecoder", device="CPU")
def greedy(
    xp: Any, inputs: Any, sequence_length: Any, *, merge_repeated: bool, blank_index: int
) -> Any:
    """The likeliest class of each step."""
    _check(inputs, sequence_length)
    classes = inputs.shape[2]
    blank = blank_index + classes if blank_index < 0 else blank_index
    if not 0 <= blank < classes:
        raise InvalidArgumentError(
            None,
            None,
            f"blank_index expected to be between {-classes} and {classes - 1} but was "
            f"{blank_index}",
        )
    lengths = xp.maximum(sequence_length, 0)
    best = inputs.argmax(axis=2)
    counts = xp.arange(inputs.shape[0])[:, None] < lengths
    scores = -xp.where(counts, inputs.max(axis=2), 0).sum(axis=0)
    is_kept = counts & (best != blank)
    if merge_repeated:
        is_kept[1:] &= best[1:] != best[:-1]
    rows = [best[is_kept[:, row], row].tolist() for row in range(inputs.shape[1])]
    return *_sparse(rows), scores[:, None].astype(inputs.dtype, copy=False)


@kernel("CTCBeamSearchDecoder", device="CPU")
def beam_search(
    xp: Any,
    inputs: Any,
    sequence_length: Any,
    *,
    beam_width: int,
    top_paths: int,
    merge_repeated: bool,
) -> Any:
    """The likeliest label sequences, and their log probabilities."""
    _check(inputs, sequence_length)
    if top_paths > beam_width:
        raise InvalidArgumentError(None, None, "requested more paths than the beam width.")
    raised = inputs.astype(np.float64)
    raised = raised - raised.max(axis=2, keepdims=True)
    logs = raised - np.log(np.exp(raised).sum(axis=2, keepdims=True))
    found, scores = [], np.empty((inputs.shape[1], top_paths), inputs.dtype)
    for row, length in enumerate(sequence_length.tolist()):
        best = _search(logs[: max(length, 0), row], beam_width)[:top_paths]
        if len(best) < top_paths:
            raise InvalidArgumentError(None, None, "Less leaves in the beam search than requested.")
        found.append([path.labels(merge_repeated) for path in best])
        scores[row] = [path.total for path in best]
    paths = [_sparse(list(rows)) for rows in zip(*found, strict=True)]
    return *itertools.chain.from_iterable(zip(*paths, strict=True)), scores


class _Path:
    """A beginning of labels: the log probability to end with its last label, or with a blank."""

    __slots__ = ("before", "blank", "children", "label", "labelled", "parent", "total")

    def __init__(self, parent: _Path | None, label: int) -> None:
        self.parent, self.label = parent, label
        self.children: dict[int, _Path] = {}
        # Log probabilities of the step before: in all, and of an end with a blank.
        self.before = (_NONE, _NONE)
        self.reset()

    def reset(self) -> None:
        """Be in the beam no longer."""
        self.total = self.blank = self.labelled = _NONE

    def extended(self, label: int) -> float:
        """The log probability to go on with `label`: an equal one needs a blank between."""
        return self.before[label == self.label]

    def labels(self, merge_repeated: bool) -> list[int]:
        """All labels, the first one first."""
        found = list(self._backwards())[::-1]
        if merge_repeated:
            found = [label for label, _ in itertools.groupby(found)]
        return found

    def _backwards(self) -> Iterator[int]:
        path: _Path = self
        while path.parent is not None:
            yield path.label
            path = path.parent


def _log_sum(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == _NONE else high + math.log1p(math.exp(low - high))


def _search(logs: Any, width: int) -> list[_Path]:
    """The best paths, in descending order."""
    root = _Path(None, -1)
    root.total = root.blank = 0.0
    beam, order = [root], itertools.count()
    for step in logs:
        log = step.tolist()
        for path in beam:
            path.before = (path.total, path.blank)
        for path in beam:
            parent = path.parent
            if parent is not None:
                if parent.total != _NONE:
                    path.labelled = _log_sum(path.labelled, parent.extended(path.label))
                path.labelled += log[path.label]
            path.blank = path.before[0] + log[-1]
            path.total = _log_sum(path.blank, path.labelled)
        kept = [(path.total, -next(order), path) for path in beam]
        heapq.heapify(kept)
        for path in beam:
            _grow(path, step[:-1], kept, width, order)
        beam = [path for _, _, path in sorted(kept, key=lambda entry: entry[:2], reverse=True)]
    return beam


def _grow(
    path: _Path,
    log: Any,
    kept: list[tuple[float, int, _Path]],
    width: int,
    order: Iterator[int],
) -> None:
    """Take the paths into the beam that go on with one more label and beat the worst there."""

    def limit() -> float:
        return kept[0][0] if len(kept) >= width else _NONE

    if not path.before[0] > limit():
        return
    scores = log + path.before[0]
    if path.label >= 0:
        scores[path.label] = log[path.label] + path.before[1]
    # The limit only rises meanwhile, so that what fails now fails then.
    for label in np.flatnonzero(scores > limit()).tolist():
        child = path.children.get(label)
        if child is None:
            child = path.children[label] = _Path(path, label)
        score = float(scores[label])
        if child.total != _NONE or not score > limit():
            continue
        if len(kept) >= width:
            heapq.heappop(kept)[2].reset()
        child.blank, child.labelled, child.total = _NONE, score, score
        heapq.heappush(kept, (score, -next(order), child))
