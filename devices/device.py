"""What every device offers the runtime, and how a session describes its devices."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from tfsession.devices.capture import Watch
from tfsession.devices.layout import full_name
from tfsession.devices.memory import Ledger, MemoryStats
from tfsession.devices.timer import Timer

__all__ = ["Device", "DeviceAttributes"]


def _new_incarnation() -> int:
    """Random, signed, 64 bits, never zero."""
    while True:
        number = int.from_bytes(os.urandom(8), signed=True)
        if number:
            return number


class Device(abc.ABC):
    """One place where ops run, owned by one session.

    `name` is the full name; `physical_description` is empty where there is nothing to tell (CPU).
    Arrays are handed to `xp` functions inside `activate()` only. `ledger` counts what lives in its
    memory; None where that is not counted. `asks_ahead` says that what an operation will give is to
    be asked for before it computes, because its arrays are not made by the device's allocator.
    `update_lock` is the one that its variables share; None where each has its own. `watch` looks at
    what the calling thread does here; None where nothing is recorded.
    """

    ledger: Ledger | None = None
    update_lock: Any = None
    watch: Watch | None = None
    asks_ahead: ClassVar[bool] = False

    def __init__(
        self, device_type: str, index: int, memory_limit_bytes: int, physical_description: str = ""
    ) -> None:
        self.name = full_name(device_type, index)
        self.device_type = device_type
        self.index = index
        self.memory_limit_bytes = memory_limit_bytes
        self.physical_description = physical_description
        self.incarnation = _new_incarnation()

    @property
    @abc.abstractmethod
    def xp(self) -> Any:
        """The array module: numpy, cupy or a simulated one."""

    @abc.abstractmethod
    def activate(self) -> AbstractContextManager[Any]:
        """Makes this device the calling thread's current one, for as long as it is entered."""

    @abc.abstractmethod
    def to_device(self, host_array: Any) -> Any:
        """This device's copy of a host array or NumPy scalar; the host's may change afterwards."""

    @abc.abstractmethod
    def to_host(self, array: Any) -> Any:
        """A host copy of this device's array; its content is valid only after `synchronize()`."""

    @abc.abstractmethod
    def from_peer(self, array: Any, source: Device) -> Any:
        """This device's copy of `array`, which `source`, a device of the same kind, owns."""

    @abc.abstractmethod
    def owns(self, array: Any) -> bool:
        """Whether `array` lies in this device's memory."""

    def adopt(self, array: Any) -> Any:
        """A program's array as one of this device, without a copy; None where that cannot be.

        What the program has asked for before happens before what this device does with it.
        """
        return array if self.owns(array) else None

    def hand_out(self) -> None:
        """Let the program's own work on arrays it is given come after this device's."""
        self.synchronize()

    @abc.abstractmethod
    def synchronize(self) -> None:
        """Returns when all that was asked of the device so far is done."""

    def memory_stats(self) -> MemoryStats | None:
        """What lives in its memory and who holds it; None where that is not counted."""
        return None if self.ledger is None else self.ledger.stats()

    def counting(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A kernel that charges what it makes, where arrays do not charge themselves."""
        return function

    def timer(self) -> Timer | None:
        """A timer of what is queued here from now on; None where the host's clock tells it."""
        return None

    def shown(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A kernel that a profiler sees as `name`, where the program is to be profiled."""
        return function

    @abc.abstractmethod
    def close(self) -> None:
        """Gives all memory back; the device cannot be used afterwards. Closing twice is fine."""

    def attributes(self) -> DeviceAttributes:
        """What `Session.list_devices` tells about this device."""
        return DeviceAttributes(
            self.name, self.device_type, self.memory_limit_bytes, self.incarnation
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class DeviceAttributes:
    """One entry of `Session.list_devices()`; read only."""

    def __init__(
        self, name: str, device_type: str, memory_limit_bytes: int, incarnation: int
    ) -> None:
        self._name = name
        self._device_type = device_type
        self._memory_limit_bytes = memory_limit_bytes
        self._incarnation = incarnation

    @property
    def name(self) -> str:
        """Full device name."""
        return self._name

    @property
    def device_type(self) -> str:
        """Device type, "CPU" or "GPU"."""
        return self._device_type

    @property
    def memory_limit_bytes(self) -> int:
        """Most bytes that the device hands out."""
        return self._memory_limit_bytes

    @property
    def memory_limit(self) -> int:
        """Another name of `memory_limit_bytes`, which TensorFlow's documents use."""
        return self._memory_limit_bytes

    @property
    def incarnation(self) -> int:
        """A random number that tells this device from those of other sessions."""
        return self._incarnation

    def __repr__(self) -> str:
        return (
            f"_DeviceAttributes({self._name}, {self._device_type}, "
            f"{self._memory_limit_bytes}, {self._incarnation})"
        )
