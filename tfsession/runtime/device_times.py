"""When GPUs did what a step asked of them: a mark behind each piece of work, told at the end.

A mark comes to a device when it has done all before it. So a piece of work lasts there from the
mark before it to its own: where the device had to wait for the host to queue it, the wait is
included.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfsession.devices.device import Device
from tfsession.devices.timer import Timer
from tfsession.runtime.step_stats import Layout, NodeRecord, encode_node

if TYPE_CHECKING:
    import numpy.typing as npt

# The moments of one device at each entry of a log, in nanoseconds since 1970.
Moments = dict[Device, "npt.NDArray[np.int64]"]


class DeviceMarks:
    """The marks of one step on its devices, all of them at each entry of its log.

    Making it waits for the devices, and sets the marks of the first entry.
    """

    def __init__(self, devices: Sequence[Device]) -> None:
        self._timers: list[tuple[Device, Timer, int]] = []
        for device in devices:
            timer = device.timer()
            if timer is not None:
                # With nothing to do, the device comes to its mark at this moment of the host.
                device.synchronize()
                self._timers.append((device, timer, time.perf_counter_ns()))
                timer.mark()
        self._marks = [timer.mark for _, timer, _ in self._timers]

    def __bool__(self) -> bool:
        return bool(self._timers)

    def add(self) -> None:
        """The next mark of each device."""
        for mark in self._marks:
            mark()

    def moments(self, epoch: int) -> Moments:
        """When each device came to each mark; waits for the devices.

        `epoch` is what `time.perf_counter_ns` has to be added to for Unix time.
        """
        found = {}
        for device, timer, begin in self._timers:
            device.synchronize()
            found[device] = epoch + begin + np.array(timer.nanoseconds(), np.int64)
        return found


class KernelTrace:
    """What a plan's operations are called where a device shows what it computed.

    Args:
        kernels: the device, name and type of each operation that computes on one, by its number.
    """

    def __init__(self, kernels: dict[int, tuple[Device, str, str]]) -> None:
        self._kernels = kernels
        self.devices = list(dict.fromkeys(device for device, _, _ in kernels.values()))
        self._records: dict[int, NodeRecord] = {}
        self._layout: tuple[list[int], Layout] | None = None

    def encode(self, numbers: Sequence[int], moments: Moments) -> bytes:
        """DeviceStepStats of "<device>/stream:all"; `numbers` are the operations of a log."""
        places = [
            place
            for place, number in enumerate(numbers)
            if number in self._kernels and self._kernels[number][0] in moments
        ]
        if not places:
            return b""
        indices = [numbers[place] for place in places]
        if self._layout is None or self._layout[0] != indices:
            names = [f"{self._kernels[index][0].name}/stream:all" for index in indices]
            self._layout = indices, Layout(names, [self._record(index) for index in indices])
        on = [moments[self._kernels[index][0]] for index in indices]
        ends = np.array([times[place] for times, place in zip(on, places, strict=True)])
        starts = np.array([times[place - 1] for times, place in zip(on, places, strict=True)])
        return self._layout[1].encode(starts, ends)

    def _record(self, index: int) -> NodeRecord:
        known = self._records.get(index)
        if known is None:
            _, name, op_type = self._kernels[index]
            # As the tracer of TensorFlow names a kernel, and its timeline reads it.
            known = encode_node(f"{name}:{op_type}", f"{op_type} @@{name}:{op_type}#", (), ())
            self._records[index] = known
        return known
