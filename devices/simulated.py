"""Simulated accelerators: NumPy behind the rules of a GPU, so that breaking one of them shows.

Memory is counted against a hard limit; arrays of the host or of another device are refused; what
is copied to the host is garbage until the device was synchronised. It says nothing about speed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import numpy as np

from tfsession.devices.device import Device
from tfsession.devices.layout import GpuSlot
from tfsession.devices.memory import Charge, Ledger
from tfsession.devices.simulated_array import SimulatedArray
from tfsession.devices.simulated_numpy import SimulatedNumpy

__all__ = ["Counters", "SimulatedDevice"]

POISON = 0xCB


class Counters(NamedTuple):
    """What a device was asked to do.

    `launches` counts results computed into new memory and writes in place, not views. `uploads` and
    `reads` are copies that a kernel made by itself (`xp.asarray(host)`; `item()`, `bool(array)`).
    """

    launches: int = 0
    host_to_device: int = 0
    device_to_host: int = 0
    device_to_device: int = 0
    transferred_bytes: int = 0
    uploads: int = 0
    reads: int = 0


class _Pool(Ledger):
    """The arrays of a simulated device, and how many of them kernels have made."""

    launches = 0

    def charge(self, array: np.ndarray[Any, Any], nbytes: int, launches: int) -> Charge:
        """Charges `nbytes` for `array`; raises as `take` does."""
        charge = Charge()
        with self.lock:
            self.take(charge, nbytes, array.shape, array.dtype)
            self.launches += launches
        return charge


class SimulatedDevice(Device):
    """A GPU device whose memory is a counted part of the host's."""

    asks_ahead: ClassVar[bool] = True

    def __init__(self, index: int, slot: GpuSlot) -> None:
        description = (
            f"device: {slot.card}, name: {slot.gpu.name}, pci bus id: {slot.gpu.pci_bus_id}, "
            "compute capability: none"
        )
        super().__init__("GPU", index, slot.limit, description)
        self.ledger = self._pool = _Pool(self.name, f"GPU_{index}_bfc", slot.limit)
        self._counts = dict.fromkeys(Counters._fields[1:], 0)
        self._pending: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        self._xp = SimulatedNumpy(self)

    @property
    def xp(self) -> Any:
        """NumPy's functions over this device's arrays."""
        return self._xp

    @contextmanager
    def activate(self) -> Iterator[None]:
        """Silences floating point warnings, which a GPU does not give."""
        with np.errstate(all="ignore"):
            yield

    def count(self, what: str, nbytes: int = 0) -> None:
        """Adds one to a counter, and `nbytes` to the bytes transferred."""
        with self._pool.lock:
            self._counts[what] += 1
            self._counts["transferred_bytes"] += nbytes

    def counters(self) -> Counters:
        """The counters now."""
        with self._pool.lock:
            return Counters(self._pool.launches, *self._counts.values())

    def reset_counters(self) -> None:
        """Starts counting at zero."""
        with self._pool.lock:
            self._counts = dict.fromkeys(Counters._fields[1:], 0)
            self._pool.launches = 0

    def launched(self) -> None:
        """Counts a kernel that wrote in place."""
        with self._pool.lock:
            self._pool.launches += 1

    def wrap(self, host: np.ndarray[Any, Any], root: np.ndarray[Any, Any]) -> SimulatedArray:
        """An array of this device over memory of its own; `root` is the array that holds it."""
        return SimulatedArray(self, host, root, self._pool.charge(host, root.nbytes, 0))

    def computed(self, host: np.ndarray[Any, Any], root: np.ndarray[Any, Any]) -> SimulatedArray:
        """As `wrap`, for the result of a kernel."""
        return SimulatedArray(self, host, root, self._pool.charge(host, root.nbytes, 1))

    def upload(self, host: Any) -> SimulatedArray:
        """A copy of a host array, uncounted."""
        copy = np.array(host, order="C", copy=True)
        if copy.dtype.kind in "OSUMm" or copy.dtype.type is np.void:
            raise TypeError(f"Unsupported type {copy.dtype} on {self.name}")
        return self.wrap(copy, copy)

    def host_of(self, array: Any) -> np.ndarray[Any, Any]:
        """The memory behind an array of this device; TypeError for any other."""
        if type(array) is not SimulatedArray:
            raise TypeError(f"Unsupported type {type(array)}")
        if array._device is not self:
            raise TypeError(f"An array of {array._device.name} was given to {self.name}")
        return array._host

    def to_device(self, host_array: Any) -> SimulatedArray:
        """A counted copy of a host array or NumPy scalar."""
        array = self.upload(host_array)
        self.count("host_to_device", array.nbytes)
        return array

    def to_host(self, array: Any) -> np.ndarray[Any, Any]:
        """A counted copy on the host, garbage until `synchronize()`."""
        host = self.host_of(array)
        buffer = np.empty(host.shape, host.dtype)
        buffer.reshape(-1).view(np.uint8)[...] = POISON
        self.count("device_to_host", host.nbytes)
        with self._pool.lock:
            self._pending.append((buffer, host.copy()))
        return buffer

    def from_peer(self, array: Any, source: Device) -> SimulatedArray:
        """A counted copy of another simulated device's array."""
        if not isinstance(source, SimulatedDevice):
            raise TypeError(f"{source.name} is not a peer of {self.name}")
        copy = self.upload(source.host_of(array))
        self.count("device_to_device", copy.nbytes)
        return copy

    def owns(self, array: Any) -> bool:
        """Whether `array` is this very device's."""
        return type(array) is SimulatedArray and array._device is self

    def synchronize(self) -> None:
        """Puts the real content into every host copy made so far."""
        with self._pool.lock:
            pending, self._pending = self._pending, []
            for buffer, content in pending:
                buffer[...] = content

    def close(self) -> None:
        """Arrays that are still alive can be computed with no more."""
        self.synchronize()
        with self._pool.lock:
            self._pool.closed = True
