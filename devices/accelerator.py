"""Devices with a stream of their own: what waits for what, on CUDA and simulated ones alike.

The host queues work and goes on; only `synchronize` waits. Between devices events keep the order,
so that the host waits for a device only when it reads what was computed there.
"""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from tfsession.core import forking
from tfsession.devices.capture import Recording, SlabMemory, Staging, Watch
from tfsession.devices.device import Device
from tfsession.devices.slab import Slab

__all__ = ["Accelerator", "conditionals_wanted"]


def conditionals_wanted() -> bool:
    """Whether the environment lets recorded steps choose and repeat on the device."""
    return os.environ.get("TFSESSION_GPU_CONDITIONALS", "1") not in ("0", "false")


class Accelerator(Device):
    """A device whose work is queued on one stream, and done in the order of the queue.

    `_stream` is CuPy's or a simulated one: `record()` gives an event; `wait_event(event)` holds
    back what is queued next until the event's work is done; `synchronize()` has the host wait. It
    may be None until the device is used. `watch` is what looks at the calling thread's work.
    """

    def __init__(
        self, device_type: str, index: int, memory_limit_bytes: int, physical_description: str
    ) -> None:
        super().__init__(device_type, index, memory_limit_bytes, physical_description)
        self._stream: Any = None
        self._has_lent = False
        # All work is done one after another in any case, and a recorded step may update many.
        self.update_lock = forking.rlock()
        self.watch: Watch = Watch()

    @abc.abstractmethod
    def _on_card(self) -> AbstractContextManager[Any]:
        """Makes the card the calling thread's current one, and leaves its stream alone."""

    @abc.abstractmethod
    def _program_stream(self) -> Any:
        """Where the calling thread's work on this card is queued just now."""

    # --- recorded steps -------------------------------------------------------------------------

    @abc.abstractmethod
    def slab(self, nbytes: int) -> SlabMemory:
        """Memory for a recorded step; raises ResourceExhaustedError as any allocation."""

    @abc.abstractmethod
    def staging(self, slab: Any, nbytes: int) -> Staging:
        """What brings so many bytes of the host to the beginning of a slab."""

    @abc.abstractmethod
    def recording(
        self, slab: Any, plan: Slab, base: int, state: Sequence[Any]
    ) -> AbstractContextManager[Recording]:
        """Records what this thread asks for in the block, inside `activate()`; none of it is done.

        Allocations are those of `plan`, in its order, behind the first `base` bytes of the slab.
        `state` are the arrays outside of it that may be written to. Raises CaptureRefused.
        """

    @property
    @abc.abstractmethod
    def has_conditionals(self) -> bool:
        """Whether a recording may choose between ways and repeat them, without asking the host."""

    @abc.abstractmethod
    def rehearsing(self) -> AbstractContextManager[None]:
        """What this thread asks for in the block, inside `activate()`, is not done.

        Memory is allocated as ever. Raises CaptureRefused where a recording would.
        """

    @abc.abstractmethod
    def replaying(self) -> AbstractContextManager[Any]:
        """As `activate()` for who only sends what was staged and replays: nothing is allocated."""

    @abc.abstractmethod
    def address(self, array: Any) -> int:
        """Where the elements of an array of this device begin."""

    @abc.abstractmethod
    def alias(self, array: Any) -> Any:
        """Another array of the same memory, which is no reference to this one."""

    def array_of_each_step(self, make: Callable[[], Any]) -> Any:
        """An array of the host, which is made for each step anew, as one of the device."""
        array, is_held = self.watch.each_step(make)
        if is_held:
            return array
        with self.watch.tracing():  # a recording brings it with its inputs
            return self.to_device(array)

    def array_known(self, value: Any) -> Any:
        """A value of the host as an array of the device: in a recording it is always the same."""
        if self.watch.inputs is not None:
            value = np.array(value)  # what the host does next may be done in the same memory
        return self.array_of_each_step(lambda: value)

    # --------------------------------------------------------------------------------------------

    @abc.abstractmethod
    def _pulled(self, content: Any, source: Any) -> Any:
        """A copy of a peer's contiguous array, queued here; called inside `activate()`."""

    def from_peer(self, array: Any, source: Device) -> Any:
        """A copy of a peer's array, after what made it and before its memory is used again."""
        if type(source) is not type(self):
            raise TypeError(f"{source.name} is not a peer of {self.name}")
        assert isinstance(source, Accelerator)
        with source.activate():
            content = array if array.flags.c_contiguous else array.copy()
            produced = source._stream.record()
        with self.activate():
            self._stream.wait_event(produced)
            copied = self._pulled(content, source)
            consumed = self._stream.record()
        with source._on_card():
            # What is queued there next may write over the content, or be given its memory.
            source._stream.wait_event(consumed)
        return copied

    def hand_out(self) -> None:
        """Makes the calling thread's current stream wait for this device's."""
        if self._stream is not None:
            self._has_lent = True
            with self._on_card():
                self._program_stream().wait_event(self._stream.record())

    def _await_program(self) -> None:
        """Orders what the calling thread's current stream was asked for before what follows here.

        Event and wait cost the host a few microseconds; nothing is waited for on it.
        """
        with self._on_card():
            current = self._program_stream()
            if current != self._stream:
                self._stream.wait_event(current.record())
