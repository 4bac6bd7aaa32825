"""A session's devices: made from its configuration, found by name, closed with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from tfsession.core.errors import NotFoundError
from tfsession.devices.cpu import CpuDevice
from tfsession.devices.cuda import CudaDevice
from tfsession.devices.device import Device, DeviceAttributes
from tfsession.devices.layout import GpuSlot, find_gpus, gpu_slots
from tfsession.devices.nvml import HIDDEN, Survey
from tfsession.devices.simulated import SimulatedDevice

__all__ = ["DeviceManager"]

_log = logging.getLogger("tfsession")
_told: set[str] = set()


def _tell_unusable(found: Survey) -> None:
    """One log line a process for each reason why a present card is left alone."""
    for gpu in found.gpus:
        if gpu.reason and gpu.reason != HIDDEN and gpu.reason not in _told:
            _told.add(gpu.reason)
            _log.warning("%s is not used: %s", gpu.name, gpu.reason)


def _make_gpu(index: int, slot: GpuSlot) -> Device:
    return SimulatedDevice(index, slot) if slot.gpu.simulated else CudaDevice(index, slot)


class DeviceManager:
    """The devices of one session, CPUs first, then GPUs.

    Args:
      device_count: how many devices of a type to make; types other than CPU and GPU are ignored.
      gpu_options: a GPUOptions message, or None.
      environ: where the environment variables are read.
      device_options: a DeviceOptions message, or None.

    Raises NotFoundError where there is no CPU device, InvalidArgumentError or UnknownError where
    the options do not fit the cards.
    """

    def __init__(
        self,
        device_count: Mapping[str, int] | None = None,
        gpu_options: Any = None,
        environ: Mapping[str, str] = os.environ,
        device_options: Any = None,
    ) -> None:
        counts = dict(device_count or {})
        cpus = counts.get("CPU", 1)
        if cpus < 1:
            raise NotFoundError(None, None, "No CPU devices are available in this process")
        slots: list[GpuSlot] = []
        if counts.get("GPU") != 0:
            found = find_gpus(environ, device_options.simulated_gpus if device_options else "")
            _tell_unusable(found)
            slots = gpu_slots(found.usable, counts.get("GPU"), gpu_options)
        self._devices: tuple[Device, ...] = (
            *(CpuDevice(i) for i in range(cpus)),
            *(_make_gpu(i, slot) for i, slot in enumerate(slots)),
        )
        self._by_name = {device.name: device for device in self._devices}

    @property
    def devices(self) -> tuple[Device, ...]:
        """All devices, CPUs by index, then GPUs by index."""
        return self._devices

    @property
    def host(self) -> Device:
        """CPU:0, where feeds come from and fetches go to."""
        return self._devices[0]

    def by_name(self, name: str) -> Device:
        """The device of a full name; KeyError where there is none."""
        return self._by_name[name]

    def list_devices(self) -> list[DeviceAttributes]:
        """What `Session.list_devices` returns."""
        return [device.attributes() for device in self._devices]

    def device_mapping(self) -> str:
        """The text that `log_device_placement` prints when a session is made."""
        lines = [
            f"{device.name} -> {device.physical_description}\n"
            for device in self._devices
            if device.physical_description
        ]
        return "Device mapping:" + ("\n" + "".join(lines) if lines else " no known devices.")

    def close(self) -> None:
        """Closes every device: all memory goes back."""
        for device in self._devices:
            device.close()
