"""Which GPU devices a session gets: its options laid over the machine's cards. Pure logic.

Loads without NumPy, for the command line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tfsession.core.errors import InvalidArgumentError, UnknownError
from tfsession.devices.nvml import PhysicalGpu, Survey, survey

__all__ = [
    "CPU_MEMORY_LIMIT",
    "GpuSlot",
    "find_gpus",
    "full_name",
    "gpu_slots",
    "memory_limit",
    "parse_size",
    "visible_order",
]

# What TensorFlow reports for any CPU device; it limits nothing.
CPU_MEMORY_LIMIT = 256 << 20
MIB = 1 << 20
_UNITS = {"": 1, "b": 1, "kib": 1 << 10, "mib": MIB, "gib": 1 << 30}
_SIZE = re.compile(r"(\d+)([a-zA-Z]*)\Z", re.ASCII)
_SIMULATED = re.compile(r"(\d+)(?::(.+))?\Z", re.ASCII)


def full_name(device_type: str, index: int) -> str:
    """Full name of a device of this process."""
    return f"/job:localhost/replica:0/task:0/device:{device_type}:{index}"


class GpuSlot(NamedTuple):
    """One GPU device to be: which card, its number among the cards used, and its memory limit.

    A `unified` one has memory that the card and the host share, and page in and out.
    """

    gpu: PhysicalGpu
    card: int
    limit: int
    unified: bool = False


def parse_size(text: str) -> int | None:
    """Bytes that a text such as "512MiB" or "1073741824" means; None where it is no size."""
    found = _SIZE.match(text.strip())
    unit = _UNITS.get(found[2].lower()) if found else None
    return None if found is None or unit is None else int(found[1]) * unit


def _simulated_gpus(text: str, setting: str) -> tuple[PhysicalGpu, ...]:
    found = _SIMULATED.match(text.strip())
    total = parse_size(found[2] or "256MiB") if found else None
    if found is None or total is None:
        raise InvalidArgumentError(
            None,
            None,
            f"{setting} must be '<count>' or '<count>:<limit>', as in '2:256MiB', but is '{text}'",
        )
    return tuple(
        PhysicalGpu("Simulated GPU", f"ffff:{i:02x}:00.0", "", total, total, None, simulated=True)
        for i in range(int(found[1]))
    )


def find_gpus(environ: Mapping[str, str] = os.environ, simulated: str = "") -> Survey:
    """The machine's GPUs, or simulated ones in their place.

    These are asked for by `simulated`, a session's own wish, else by TFSESSION_SIMULATED_GPUS.
    Raises InvalidArgumentError where the wish cannot be read.
    """
    setting = "DeviceOptions.simulated_gpus" if simulated else "TFSESSION_SIMULATED_GPUS"
    simulated = simulated or environ.get("TFSESSION_SIMULATED_GPUS", "").strip()
    if simulated and environ.get("TFSESSION_DISABLE_GPU", "0") in ("", "0"):
        gpus = _simulated_gpus(simulated, setting)
        return Survey(gpus, "" if gpus else f"{setting} asks for none")
    return survey(environ)


def _option(options: Any, name: str, default: Any) -> Any:
    """A GPUOptions field by its dotted name, whichever protocol library the message is from."""
    value = options
    for part in name.split("."):
        value = getattr(value, part, None)
        if value is None:
            return default
    return value


def visible_order(listed: str, count: int) -> list[int]:
    """Cards that `visible_device_list` names, in its order; InvalidArgumentError otherwise."""
    if not listed:
        return list(range(count))
    order: list[int] = []
    for entry in listed.split(","):
        if re.fullmatch(r"\s*[-+]?\d+\s*", entry, re.ASCII) is None:
            raise InvalidArgumentError(
                None,
                None,
                f"Could not parse entry in 'visible_device_list': '{entry}'. "
                f"visible_device_list = {listed}",
            )
        number = int(entry)
        if not 0 <= number < count:
            raise InvalidArgumentError(
                None,
                None,
                f"'visible_device_list' listed an invalid Device id '{number}' "
                f"but visible device count is {count}",
            )
        order.append(number)
    if len(set(order)) != len(order):
        raise InvalidArgumentError(
            None, None, f"visible_device_list contained a duplicate entry: {listed}"
        )
    return order


def _reserve(gpu: PhysicalGpu, available: int) -> int:
    """What the driver, its libraries and other programs are left with."""
    if available < 2048 * MIB:
        return 225 * MIB
    major = gpu.compute_capability[0] if gpu.compute_capability else 9
    return {7: 1050, 8: 1536}.get(major, 500 if major < 7 else 1800) * MIB


def memory_limit(gpu: PhysicalGpu, options: Any) -> int:
    """Bytes that a session may take of a card: a fraction of its total, or nearly all that is free.

    InvalidArgumentError for a fraction that is negative, or above one where the card cannot page.
    """
    fraction = float(_option(options, "per_process_gpu_memory_fraction", 0.0))
    total = gpu.total_bytes or 0
    if fraction < 0:
        raise InvalidArgumentError(
            None, None, f"per_process_gpu_memory_fraction must not be negative, but is {fraction}"
        )
    if fraction > 1 and gpu.compute_capability is not None and gpu.compute_capability < (6, 0):
        raise InvalidArgumentError(
            None,
            None,
            "per_process_gpu_memory_fraction > 1 needs unified memory, "
            "which needs compute capability 6.0 or higher",
        )
    if fraction:
        return int(total * fraction)
    if gpu.simulated:
        return total
    available = total if gpu.free_bytes is None else gpu.free_bytes
    system = int(_option(options, "experimental.gpu_system_memory_size_in_mb", 0))
    return max(0, available - (system * MIB if system > 0 else _reserve(gpu, available)))


def _split_limits(options: Any, cards: int, wanted: int, listed: str) -> list[list[float]] | None:
    """Megabytes of each virtual device, card by card; None where cards are not split by hand."""
    virtual = list(_option(options, "experimental.virtual_devices", ()))
    if not virtual:
        return None
    if _option(options, "per_process_gpu_memory_fraction", 0.0) > 0:
        raise InvalidArgumentError(
            None,
            None,
            "It's invalid to set per_process_gpu_memory_fraction when virtual_devices is set.",
        )
    if wanted < len(virtual):
        raise UnknownError(
            None,
            None,
            "Not enough GPUs to create virtual devices. "
            f"num_gpus_to_use: {wanted} #virtual_devices: {len(virtual)}",
        )
    if cards != len(virtual):
        where = "GPUs in visible_device_list" if listed else "valid GPUs"
        raise (InvalidArgumentError if listed else UnknownError)(
            None,
            None,
            f"The number of {where} doesn't match the number of elements in the virtual_devices "
            f"list. #{where}: {cards} virtual_devices.size(): {len(virtual)}",
        )
    return [[float(mb) for mb in entry.memory_limit_mb] for entry in virtual]


def gpu_slots(gpus: Sequence[PhysicalGpu], wanted: int | None, options: Any) -> list[GpuSlot]:
    """The GPU devices of a session, GPU:0 first.

    Args:
      gpus: the usable cards, in CUDA's order.
      wanted: `device_count['GPU']`, None where it is not given; negative means all.
      options: a GPUOptions message, or None.

    Raises InvalidArgumentError or UnknownError where the options do not fit the cards.
    """
    if wanted == 0 or not gpus:
        return []
    listed = str(_option(options, "visible_device_list", ""))
    order = visible_order(listed, len(gpus))
    count = len(order) if wanted is None or wanted < 0 else min(wanted, len(order))
    by_hand = _split_limits(options, len(order), count, listed)
    parts = int(_option(options, "experimental.num_virtual_devices_per_gpu", 0))
    if parts > 0 and by_hand is not None:
        raise InvalidArgumentError(
            None, None, "num_virtual_devices_per_gpu cannot be set when virtual_devices is set."
        )
    unified = bool(_option(options, "experimental.use_unified_memory", False))
    slots = []
    for position, card in enumerate(order[:count]):
        limits = [int(mb * MIB) for mb in by_hand[position]] if by_hand else []
        if not limits:
            each = max(1, parts)
            limits = [memory_limit(gpus[card], options) // each] * each
        # More than there is cannot be had but by paging.
        total = gpus[card].total_bytes or 1 << 62
        slots += [GpuSlot(gpus[card], card, n, unified or n > total) for n in limits]
    return slots
