"""Copies between memories: the one way in which an array gets from one device to another.

All CPU devices share the host's memory; None stands for it, too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from weakref import ref

import numpy as np

from tfsession.devices.device import Device

__all__ = ["Memory", "copy", "copy_ahead", "start_copy", "wait_for"]

Memory = Device | None


def _is_host(memory: Memory) -> bool:
    return memory is None or memory.device_type == "CPU"


# Copies to devices that nobody has asked for yet, by the host array, which nobody changes.
_ahead: dict[int, tuple[ref[Any], Device, Any]] = {}


def copy_ahead(array: Any, destination: Device) -> None:
    """Copy a host array to a device before a step asks for it; the first that does gets this copy.

    It goes with the array, if nobody asks. Nothing happens for scalars, texts, or on the host.
    """
    if type(array) is not np.ndarray or array.dtype.hasobject or _is_host(destination):
        return
    key = id(array)
    copied = destination.to_device(array)
    _ahead[key] = ref(array, lambda _: _ahead.pop(key, None)), destination, copied


def start_copy(array: Any, source: Memory, destination: Memory) -> Any:
    """`array` of `source` as an array of `destination`; the array itself where no copy is needed.

    What arrives in host memory is valid only after `source.synchronize()`.
    Raises ResourceExhaustedError where the destination's memory does not suffice.
    """
    if source is destination or (_is_host(source) and _is_host(destination)):
        return array
    if _is_host(source):
        assert destination is not None
        ahead = _ahead.pop(id(array), None) if _ahead else None
        if ahead is not None and ahead[0]() is array and ahead[1] is destination:
            return ahead[2]
        return destination.to_device(array)
    assert source is not None
    if _is_host(destination):
        return source.to_host(array)
    assert destination is not None
    return destination.from_peer(array, source)


def wait_for(sources: Iterable[Memory]) -> None:
    """Wait until what was started from these memories has arrived, once for each."""
    for source in dict.fromkeys(sources):
        if source is not None and not _is_host(source):
            source.synchronize()


def copy(array: Any, source: Memory, destination: Memory) -> Any:
    """As `start_copy`, but what is given can be used at once."""
    copied = start_copy(array, source, destination)
    if _is_host(destination):
        wait_for([source])
    return copied
