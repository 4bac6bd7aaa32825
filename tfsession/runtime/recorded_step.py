"""A step that is one recorded segment: fed, replayed and fetched without an Execution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfsession.devices.transfer import start_copy, wait_for
from tfsession.runtime.captured import CapturedComputation

if TYPE_CHECKING:
    from tfsession.runtime.plan import Plan

Value = Any


class RecordedStep:
    """What a plan does when its only segment has a recording of what is fed."""

    def __init__(self, plan: Plan, segment: CapturedComputation, taken: list[int]) -> None:
        """`taken` are the numbers of the feeds that the recording takes, in its order."""
        self._recordings = segment.recordings
        self._implicit = plan.implicit
        self._closing = plan.cancellation.flag
        self._taken = taken
        places = {name: number for number, name in enumerate(segment.outputs)}
        self._outputs = [places[name] for name in plan.source_names]
        left = {transfer.tensor: transfer for transfer in plan.fetched.transfers}
        self._ends = [
            (left.get(tensor), finish)
            for tensor, finish in zip(plan.fetches, plan.fetched.finishers, strict=True)
        ]
        self._sources = list(dict.fromkeys(t.source for t in left.values() if not t.destination))

    @classmethod
    def of(cls, plan: Plan) -> RecordedStep | None:
        """The step of a plan; None where it is more than one recorded segment."""
        segments = plan.region.segments
        if len(segments) != 1 or plan.sharers or plan.signature.arriving:
            return None
        (segment,) = segments
        if not isinstance(segment, CapturedComputation) or segment.waits or segment.brought:
            return None
        fed = {name: number for number, name in enumerate(plan.feed_names)}
        if not fed.keys() >= set(segment.taken) or any(plan.fetched.waits):
            return None
        if not set(segment.outputs) >= set(plan.source_names):
            return None
        if any(transfer.tensor.dtype.is_ref for transfer in plan.fetched.transfers):
            return None
        return cls(plan, segment, [fed[name] for name in segment.taken])

    def run(self, feeds: Sequence[Value]) -> list[Value] | None:
        """The fetched values, or None where there is no recording, or the session is closed."""
        if self._closing:
            return None
        if self._implicit is not None:
            self._implicit.check()
        results = self._recordings.run([feeds[number] for number in self._taken], None)
        if results is None:
            return None
        values = [results[number] for number in self._outputs]
        found = [
            value if transfer is None else start_copy(value, transfer.source, transfer.destination)
            for value, (transfer, _) in zip(values, self._ends, strict=True)
        ]
        wait_for(self._sources)
        if self._closing:
            return None
        return [finish(value) for value, (_, finish) in zip(found, self._ends, strict=True)]
