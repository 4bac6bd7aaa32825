"""The devices of this machine at one moment, as one JSON object: see docs/cli.md for its fields.

Asking makes no CUDA context and takes no GPU memory, imports neither NumPy nor CuPy, and raises
only where a variable of the environment cannot be read: what is not known is None.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from tfsession import __version__
from tfsession.devices import nvml
from tfsession.devices.layout import CPU_MEMORY_LIMIT, find_gpus, full_name, gpu_slots
from tfsession.devices.nvml import PhysicalGpu
from tfsession.devices.readings import GpuProcess, Reading, reading_of, readings

try:
    import pwd
except ImportError:  # not on Windows
    pwd = None  # type: ignore[assignment]

__all__ = ["SCHEMA_VERSION", "take"]

# Raised when a field of the JSON object changes its meaning or goes; new ones may come at any time.
SCHEMA_VERSION = 1

Row = dict[str, Any]


def _proc(*path: str) -> str:
    """A file under /proc; empty where there is none, or not for this user."""
    try:
        return Path("/proc", *path).read_text(errors="replace")
    except OSError:
        return ""


def _proc_value(file: str, key: str) -> str | None:
    """The first value of `key` in a table under /proc; None where there is none."""
    for line in _proc(file).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _host_bytes(key: str, pages: str) -> int | None:
    """A line of /proc/meminfo, or else what the C library says in pages."""
    with suppress(ValueError, IndexError):
        return int((_proc_value("meminfo", key) or "").split()[0]) * 1024
    with suppress(ValueError, OSError, AttributeError):
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    return None


def _cpu_name() -> str:
    named = _proc_value("cpuinfo", "model name")
    return named or platform.processor() or platform.machine() or "unknown"


def _cpu_row() -> Row:
    return _row(
        name=full_name("CPU", 0),
        device_type="CPU",
        physical_name=_cpu_name(),
        memory_limit_bytes=CPU_MEMORY_LIMIT,
        total_memory_bytes=_host_bytes("MemTotal", "SC_PHYS_PAGES"),
        free_memory_bytes=_host_bytes("MemAvailable", "SC_AVPHYS_PAGES"),
    )


def _row(**known: Any) -> Row:
    fields: Row = {
        "name": None,
        "device_type": "GPU",
        "physical_name": "unknown",
        "simulated": False,
        "uuid": None,
        "pci_bus_id": None,
        "compute_capability": None,
        "memory_limit_bytes": None,
        "total_memory_bytes": None,
        "free_memory_bytes": None,
        "utilization_percent": None,
        "temperature_celsius": None,
        "power_watts": None,
        "power_limit_watts": None,
        "usable": True,
        "reason": "",
        "processes": None,
        "check": None,
    }
    return fields | known


def _gpu_row(gpu: PhysicalGpu, name: str | None, limit: int | None, now: Reading | None) -> Row:
    capability = gpu.compute_capability
    row = _row(
        name=name,
        physical_name=gpu.name,
        simulated=gpu.simulated,
        uuid=gpu.uuid or None,
        pci_bus_id=gpu.pci_bus_id or None,
        compute_capability=".".join(map(str, capability)) if capability else None,
        memory_limit_bytes=limit,
        total_memory_bytes=gpu.total_bytes,
        free_memory_bytes=gpu.free_bytes,
        usable=gpu.usable,
        reason=gpu.reason,
    )
    if now is not None:
        told = now._asdict()
        row |= {key: told[key] for key in told if key in row and key not in ("uuid", "pci_bus_id")}
        row["processes"] = None if now.processes is None else list(map(_process, now.processes))
    return row


def _process(process: GpuProcess) -> Row:
    return {
        "pid": process.pid,
        "kind": process.kind,
        "user": _owner(process.pid),
        "command": _command(process.pid),
        "memory_bytes": process.used_bytes,
    }


def _owner(pid: int) -> str | None:
    """The user that a process belongs to; None where this process cannot see that one."""
    try:
        number = Path("/proc", str(pid)).stat().st_uid
    except OSError:
        return None
    with suppress(KeyError, AttributeError):
        return pwd.getpwuid(number).pw_name
    return str(number)


def _command(pid: int) -> str | None:
    """The command line of a process, or else its name; None where it cannot be seen."""
    words = _proc(str(pid), "cmdline").rstrip("\0").replace("\0", " ")
    return words or _proc(str(pid), "comm").strip() or None


def _device_rows(gpus: tuple[PhysicalGpu, ...], now: list[Reading]) -> list[Row]:
    """One row a device, CPU first; cards that cannot be used have no name and a reason."""
    slots = gpu_slots([gpu for gpu in gpus if gpu.usable], None, None)
    named = [(slot.gpu, full_name("GPU", i), slot.limit) for i, slot in enumerate(slots)]
    others = [(gpu, None, None) for gpu in gpus if not gpu.usable]
    rows = [_gpu_row(g, name, limit, reading_of(g, now)) for g, name, limit in [*named, *others]]
    return [_cpu_row(), *rows]


def take(environ: Mapping[str, str] = os.environ, with_processes: bool = False) -> Row:
    """What there is now; InvalidArgumentError where TFSESSION_SIMULATED_GPUS cannot be read."""
    # Held open, so that NVML starts once for all questions.
    with nvml.opened() if nvml.load_driver() is not None else nullcontext():
        found = find_gpus(environ)
        is_real = any(not gpu.simulated for gpu in found.gpus)
        now = readings(with_processes) if is_real else []
        driver, cuda = nvml.driver_versions()
    cupy = nvml.find_cupy()
    return {
        "schema_version": SCHEMA_VERSION,
        "time": datetime.now().astimezone().isoformat(timespec="seconds"),
        "tfsession_version": __version__,
        "driver_version": driver or None,
        "cuda_version": cuda or None,
        "cupy_version": cupy.version if cupy else None,
        "note": found.note,
        "devices": _device_rows(found.gpus, now),
    }
