"""`tfsession devices`: what a session would compute on, and why a card is left alone."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfsession.core.errors import OpError
from tfsession.devices.device import CPU_MEMORY_LIMIT, full_name
from tfsession.devices.layout import GpuSlot, find_gpus, gpu_slots
from tfsession.devices.nvml import PhysicalGpu, Survey

__all__ = ["add_arguments", "device_rows", "run"]

_HEADINGS = {
    "name": "Device",
    "device_type": "Type",
    "physical_name": "Physical name",
    "pci_bus_id": "PCI bus id",
    "memory_limit_bytes": "Limit",
    "total_memory_bytes": "Total",
    "free_memory_bytes": "Free",
    "compute_capability": "CC",
    "usable": "Usable",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _proc(file: str, key: str) -> str | None:
    """The first value of `key` in a table under /proc; None where there is none."""
    try:
        lines = Path("/proc", file).read_text(errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _host_bytes(key: str) -> int | None:
    value = _proc("meminfo", key)
    return int(value.split()[0]) * 1024 if value else None


def _cpu_row() -> dict[str, Any]:
    name = _proc("cpuinfo", "model name") or platform.processor() or platform.machine()
    return {
        "name": full_name("CPU", 0),
        "device_type": "CPU",
        "physical_name": name,
        "pci_bus_id": None,
        "memory_limit_bytes": CPU_MEMORY_LIMIT,
        "total_memory_bytes": _host_bytes("MemTotal"),
        "free_memory_bytes": _host_bytes("MemAvailable"),
        "compute_capability": None,
        "usable": True,
        "reason": "",
    }


def _gpu_row(gpu: PhysicalGpu, name: str | None, limit: int | None) -> dict[str, Any]:
    capability = gpu.compute_capability
    return {
        "name": name,
        "device_type": "GPU",
        "physical_name": gpu.name,
        "pci_bus_id": gpu.pci_bus_id,
        "memory_limit_bytes": limit,
        "total_memory_bytes": gpu.total_bytes,
        "free_memory_bytes": gpu.free_bytes,
        "compute_capability": ".".join(map(str, capability)) if capability else None,
        "usable": gpu.usable,
        "reason": gpu.reason,
    }


def device_rows(found: Survey) -> list[dict[str, Any]]:
    """One row a device, CPU first; cards that cannot be used have no name and a reason."""
    slots: Sequence[GpuSlot] = gpu_slots(found.usable, None, None)
    return [
        _cpu_row(),
        *(_gpu_row(slot.gpu, full_name("GPU", i), slot.limit) for i, slot in enumerate(slots)),
        *(_gpu_row(gpu, None, None) for gpu in found.gpus if not gpu.usable),
    ]


def _cell(row: Mapping[str, Any], key: str) -> str:
    value = row[key]
    if key == "usable":
        return "yes" if value else f"no: {row['reason']}"
    if value is None:
        return "-"
    if key.endswith("_bytes"):
        return f"{value / (1 << 30):.2f} GiB" if value >= 1 << 30 else f"{value >> 20} MiB"
    return str(value)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    cells = [list(_HEADINGS.values()), *([_cell(row, key) for key in _HEADINGS] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join(lines) + "\n"


def run(args: argparse.Namespace) -> int:
    """Prints the devices; 0 also where there is no GPU, 2 where a variable cannot be read."""
    try:
        found = find_gpus(os.environ)
    except OpError as error:
        sys.stderr.write(f"tfsession: {error.message}\n")
        return 2
    rows = device_rows(found)
    if args.json:
        sys.stdout.write(json.dumps({"devices": rows, "note": found.note}, indent=2) + "\n")
        return 0
    sys.stdout.write(_table(rows))
    if found.note:
        sys.stdout.write(f"No GPU: {found.note}.\n")
    return 0
