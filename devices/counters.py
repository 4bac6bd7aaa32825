"""What simulated devices were asked to do: counted since ever, or in a block of a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import NamedTuple, Self

from tfsession.core.errors import InvalidArgumentError
from tfsession.devices.device import Device

__all__ = ["Counters", "Counting"]


class Counters(NamedTuple):
    """What a device was asked to do. Counts depend on the graph only, never on the machine.

    Attributes:
        launches: results computed into new memory, and writes in place; no views.
        host_to_device, device_to_host: copies that steps made, feeds and fetches included.
        device_to_device: copies from another device's memory to this one's.
        replays: recorded steps that were done again, each by one call (docs/gpu.md).
        synchronizations: how often the host waited for the device, `reads` included.
        uploads, reads: copies that a kernel made by itself (`xp.asarray(host)`; `item()`,
            `bool(array)`), each of which costs a step dearly on a GPU.
        host_to_device_bytes, device_to_host_bytes, device_to_device_bytes: bytes that went each
            way, with those of uploads and reads.
    """

    launches: int = 0
    host_to_device: int = 0
    device_to_host: int = 0
    device_to_device: int = 0
    synchronizations: int = 0
    uploads: int = 0
    reads: int = 0
    host_to_device_bytes: int = 0
    device_to_host_bytes: int = 0
    device_to_device_bytes: int = 0
    replays: int = 0

    def since(self, earlier: Counters) -> Counters:
        """What came after `earlier`."""
        return Counters(*(now - then for now, then in zip(self, earlier, strict=True)))


class Counting:
    """What a session's simulated devices are asked to do, from now on or in a `with` block.

    `counting["/gpu:0"]` gives the Counters of a device, `counting.total` those of all together.
    Outside of a block they grow with each step; after one they stay as they were at its end.
    """

    def __init__(self, devices: Sequence[Device], find: Callable[[str], Device]) -> None:
        """Count what `devices` do; `find` gives the device of a name."""
        self._find = find
        self._devices = [device for device in devices if hasattr(device, "counters")]
        self._begin = self._now()
        self._end: dict[str, Counters] | None = None

    def _now(self) -> dict[str, Counters]:
        return {device.name: device.counters() for device in self._devices}

    def _of(self, name: str) -> Counters:
        end = self._now() if self._end is None else self._end
        return end[name].since(self._begin[name])

    def __enter__(self) -> Self:
        self._begin, self._end = self._now(), None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end = self._now()

    def __getitem__(self, device: str) -> Counters:
        """The counters of a device; InvalidArgumentError where it is none, or counts nothing."""
        name = self._find(device).name
        if name not in self._begin:
            raise InvalidArgumentError(
                None, None, f"{name} counts nothing: only simulated GPUs do (docs/testing.md)"
            )
        return self._of(name)

    @property
    def total(self) -> Counters:
        """The sums over all simulated devices."""
        return Counters(*map(sum, zip(Counters(), *map(self._of, self._begin), strict=True)))

    def __repr__(self) -> str:
        lines = []
        for name in self._begin:
            counts = self._of(name)._asdict().items()
            told = ", ".join(f"{what}={count}" for what, count in counts if count)
            lines.append(f"{name.partition('device:')[2]}: {told or 'nothing'}")
        return f"<Counting {'; '.join(lines) or 'no simulated device'}>"
