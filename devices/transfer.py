"""Copies between any two devices: the one way in which an array changes memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.devices.device import Device

__all__ = ["copy", "copy_all"]


def _start(array: Any, source: Device, destination: Device) -> tuple[Any, bool]:
    """The array in the destination's memory, and whether the source must be waited for."""
    if source is destination or destination.owns(array):
        return array, False
    if not source.owns(array):  # host data of an op that is placed on an accelerator
        return destination.to_device(array), False
    if destination.device_type == "CPU":
        return source.to_host(array), source.device_type != "CPU"
    if source.device_type == "CPU":
        return destination.to_device(array), False
    return destination.from_peer(array, source), False


def copy(array: Any, source: Device, destination: Device) -> Any:
    """`array` of `source` as an array of `destination`, ready to be used there.

    Between CPU devices, and where the memory is the same, it is the array itself. What lies on the
    host although its op ran on `source` (int32, strings) is taken from the host.
    Raises ResourceExhaustedError where the destination's memory does not suffice.
    """
    copied, wait = _start(array, source, destination)
    if wait:
        source.synchronize()
    return copied


def copy_all(arrays: Sequence[Any], source: Device, destination: Device) -> list[Any]:
    """As `copy` of each array, with one wait for all of them."""
    started = [_start(array, source, destination) for array in arrays]
    if any(wait for _, wait in started):
        source.synchronize()
    return [copied for copied, _ in started]
