"""A session's devices: made from its configuration, found by name, closed with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any

from tfsession.core.device_spec import DeviceName, canonical, parse_device_name
from tfsession.core.errors import InvalidArgumentError, NotFoundError
from tfsession.devices.cpu import CpuDevice
from tfsession.devices.cuda import CudaDevice
from tfsession.devices.device import Device, DeviceAttributes
from tfsession.devices.layout import GpuSlot, find_gpus, gpu_slots, parse_size
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


def _make_gpu(index: int, slot: GpuSlot, limit: int | None) -> Device:
    if limit is not None:
        slot = slot._replace(limit=limit)
    return SimulatedDevice(index, slot) if slot.gpu.simulated else CudaDevice(index, slot)


class _Limits:
    """The limits that a program has set, by name of device; the name that says most counts."""

    def __init__(self, limits: Mapping[str, str]) -> None:
        self._limits: list[tuple[str, DeviceName, int]] = []
        self._used: set[str] = set()
        for text, size in limits.items():
            nbytes = parse_size(size)
            if not nbytes:
                problem = f"is '{size}', which is no size such as '512MiB'"
                raise InvalidArgumentError(None, None, f"memory_limits['{text}'] {problem}")
            self._limits.append((text, _device_name(text, "memory_limits"), nbytes))
        # A message does not keep the order in which they were set.
        self._limits.sort(key=lambda limit: (sum(part is not None for part in limit[1]), limit[0]))

    def of(self, device_type: str, index: int) -> int | None:
        """The limit of a device in bytes; None where none is set."""
        found = None
        for text, name, nbytes in self._limits:
            if name.matches(DeviceName("localhost", 0, 0, device_type, index)):
                self._used.add(text)
                found = nbytes
        return found

    def check_used(self, devices: Iterable[Device]) -> None:
        """Raises InvalidArgumentError where a name fits no device."""
        for text, _, _ in self._limits:
            if text not in self._used:
                raise _no_such_device(text, "memory_limits", devices)


def _device_name(text: str, where: str) -> DeviceName:
    """What a program means by the name of a device, in any form that `tf.device` takes."""
    try:
        name = parse_device_name(canonical(text))
    except ValueError:
        name = None
    if name is None:
        raise InvalidArgumentError(None, None, f"{where}: '{text}' is no device name")
    return name


def _no_such_device(text: str, where: str, devices: Iterable[Device]) -> InvalidArgumentError:
    names = ", ".join(device.name for device in devices)
    return InvalidArgumentError(
        None, None, f"{where}: '{text}' is none of this session's devices: {names}"
    )


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
        limits = _Limits(device_options.memory_limits if device_options else {})
        self._devices: tuple[Device, ...] = (
            *(CpuDevice(i, limits.of("CPU", i)) for i in range(cpus)),
            *(_make_gpu(i, slot, limits.of("GPU", i)) for i, slot in enumerate(slots)),
        )
        limits.check_used(self._devices)
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

    def find(self, device: Any) -> Device:
        """The device that a program names, in any form that `tf.device` takes.

        Raises InvalidArgumentError where the name fits none, or several.
        """
        text = device if isinstance(device, str) else canonical(device)
        name = _device_name(text, "device")
        found = [
            d
            for d in self._devices
            if name.matches(DeviceName("localhost", 0, 0, d.device_type, d.index))
        ]
        if not found:
            raise _no_such_device(text, "device", self._devices)
        if len(found) > 1:
            names = ", ".join(d.name for d in found)
            problem = f"'{text}' stands for several of this session's devices: {names}"
            raise InvalidArgumentError(None, None, f"device: {problem}")
        return found[0]

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
