"""What NVML tells about cards at this moment: how busy, how warm, and by which processes.

As in `nvml.py`, no context is made and nothing raised: what is not told is None.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from tfsession.devices import nvml as _nvml
from tfsession.devices.driver import load_driver
from tfsession.devices.nvml import PhysicalGpu, answer

__all__ = ["GpuProcess", "Reading", "reading_of", "readings"]

_KINDS = (
    ("compute", "nvmlDeviceGetComputeRunningProcesses"),
    ("compute", "nvmlDeviceGetMPSComputeRunningProcesses"),
    ("graphics", "nvmlDeviceGetGraphicsRunningProcesses"),
)
_SHARED = "compute+graphics"
_CORE_SENSOR = 0  # NVML_TEMPERATURE_GPU


class GpuProcess(NamedTuple):
    """A process that uses a card; in a container its `pid` may be that of another namespace."""

    pid: int
    kind: str  # "compute", "graphics" or both with a plus sign between
    used_bytes: int | None


class Reading(NamedTuple):
    """One card at one moment. Power is in watts; `processes` is None where none could be asked."""

    pci_bus_id: str
    uuid: str
    utilization_percent: int | None
    temperature_celsius: int | None
    power_watts: float | None
    power_limit_watts: float | None
    processes: tuple[GpuProcess, ...] | None


def _watts(nvml: Any, question: str, handle: Any) -> float | None:
    found: float | None = answer(lambda: round(int(getattr(nvml, question)(handle)) / 1000, 1))
    return found


def _merged(found: list[GpuProcess]) -> tuple[GpuProcess, ...]:
    """One row for a process that NVML lists several times: for computing and for drawing."""
    rows: dict[int, GpuProcess] = {}
    for process in found:
        known = rows.setdefault(process.pid, process)
        if known is not process:
            kind = known.kind if known.kind == process.kind else _SHARED
            used = [n for n in (known.used_bytes, process.used_bytes) if n is not None]
            rows[process.pid] = GpuProcess(process.pid, kind, max(used, default=None))
    return tuple(sorted(rows.values()))


def _used_bytes(process: Any) -> int | None:
    used = int(process.usedGpuMemory)
    return used if 0 <= used < (1 << 63) else None  # NVML's own word for "unknown" is 2**64 - 1


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...] | None:
    found: list[GpuProcess] = []
    answers = [answer(lambda q=q: list(getattr(nvml, q)(handle))) for _, q in _KINDS]
    for (kind, _), listed in zip(_KINDS, answers, strict=True):
        for process in listed or ():
            pid = answer(lambda p=process: int(p.pid))
            if pid is not None:
                found.append(GpuProcess(pid, kind, answer(_used_bytes, process)))
    return None if all(listed is None for listed in answers) else _merged(found)


def _read(nvml: Any, handle: Any, with_processes: bool) -> Reading:
    return Reading(
        _nvml.bus_id_of(nvml, handle),
        _nvml.uuid_of(nvml, handle),
        answer(lambda: int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)),
        answer(lambda: int(nvml.nvmlDeviceGetTemperature(handle, _CORE_SENSOR))),
        _watts(nvml, "nvmlDeviceGetPowerUsage", handle),
        _watts(nvml, "nvmlDeviceGetEnforcedPowerLimit", handle),
        _processes(nvml, handle) if with_processes else None,
    )


def readings(with_processes: bool = False) -> list[Reading]:
    """All cards that NVML can read now; empty without a driver or NVML."""
    if load_driver() is None:
        return []
    with _nvml.opened() as nvml:
        found = _nvml.handles(nvml) if nvml is not None else []
        return [_read(nvml, handle, with_processes) for handle in found if handle is not None]


def reading_of(gpu: PhysicalGpu, found: list[Reading]) -> Reading | None:
    """The reading of a card; None for a part of one, which NVML does not read."""
    for reading in found:
        if reading.uuid == gpu.uuid if gpu.uuid else reading.pci_bus_id == gpu.pci_bus_id:
            return reading
    return None
