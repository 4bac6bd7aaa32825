"""The CUDA driver asked through ctypes for its devices: no context is made, no memory taken.

It is asked in a process of its own, which runs this file: CUDA does not work in a child that is
forked after the driver was initialised, not even where the parent has computed nothing.

NVML knows more and answers sooner; this is for machines where it is missing (many containers) and
for the cases in which only the driver knows the order of the devices.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "DriverDevice",
    "DriverError",
    "cuda_version",
    "devices_apart",
    "driver_devices",
    "load_driver",
    "normal_bus_id",
]

# Seconds; the driver starts in well under one, many cards without a daemon in several.
_PATIENCE = 60.0
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*


class DriverError(Exception):
    """The driver library answered with an error code."""


class DriverDevice(NamedTuple):
    """A device in the driver's order, which CUDA_VISIBLE_DEVICES has already shaped."""

    name: str
    pci_bus_id: str
    uuid: str
    total_bytes: int
    compute_capability: tuple[int, int]


@cache
def load_driver() -> Any:
    """The driver library, or None where there is none: looked for once, not by each session."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def normal_bus_id(bus_id: str) -> str:
    """Lower case with a domain of four digits, "0000:17:00.0", however long NVML's is."""
    domain, _, rest = bus_id.strip().lower().partition(":")
    return f"{int(domain, 16):04x}:{rest}" if rest.count(":") == 1 else bus_id.strip().lower()


def _uuid_text(digits: str) -> str:
    """As NVML writes it: "GPU-" and groups of 8, 4, 4, 4 and 12 digits."""
    groups = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "GPU-" + "-".join(groups)


def _check(code: int, call: str) -> None:
    if code:
        raise DriverError(f"{call} failed with CUDA error {code}")


def _describe(library: Any, ordinal: int) -> DriverDevice:
    device = ctypes.c_int()
    _check(library.cuDeviceGet(ctypes.byref(device), ordinal), "cuDeviceGet")
    name = ctypes.create_string_buffer(256)
    _check(library.cuDeviceGetName(name, 256, device), "cuDeviceGetName")
    bus_id = ctypes.create_string_buffer(64)
    _check(library.cuDeviceGetPCIBusId(bus_id, 64, device), "cuDeviceGetPCIBusId")
    total = ctypes.c_size_t()
    _check(library.cuDeviceTotalMem_v2(ctypes.byref(total), device), "cuDeviceTotalMem")
    identity = (ctypes.c_ubyte * 16)()
    _check(library.cuDeviceGetUuid(ctypes.byref(identity), device), "cuDeviceGetUuid")
    capability = []
    for attribute in (_MAJOR, _MINOR):
        value = ctypes.c_int()
        _check(
            library.cuDeviceGetAttribute(ctypes.byref(value), attribute, device),
            "cuDeviceGetAttribute",
        )
        capability.append(value.value)
    return DriverDevice(
        name.value.decode(errors="replace"),
        normal_bus_id(bus_id.value.decode()),
        _uuid_text(bytes(identity).hex()),
        total.value,
        (capability[0], capability[1]),
    )


def cuda_version(library: Any) -> int:
    """The CUDA version that the driver is for, as 12080; it need not be initialised."""
    version = ctypes.c_int()
    _check(library.cuDriverGetVersion(ctypes.byref(version)), "cuDriverGetVersion")
    return version.value


def driver_devices(library: Any) -> list[DriverDevice]:
    """The visible devices in CUDA's own order; DriverError where the driver refuses."""
    _check(library.cuInit(0), "cuInit")
    count = ctypes.c_int()
    _check(library.cuDeviceGetCount(ctypes.byref(count)), "cuDeviceGetCount")
    return [_describe(library, ordinal) for ordinal in range(count.value)]


def devices_apart(library: Any) -> list[DriverDevice]:
    """As `driver_devices`, without initialising the driver in this process."""
    python = Path(sys.executable or "")
    if not python.name.lower().startswith("python") or not Path(__file__).is_file():
        return driver_devices(library)  # embedded in another program
    command = [sys.executable, "-I", "-S", __file__]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_PATIENCE,
            check=False,
        )
        devices, error = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise DriverError(f"no answer within {_PATIENCE:g} s") from None
    except (OSError, ValueError):
        raise DriverError("the process that asks it has failed") from None
    if error:
        raise DriverError(error)
    return [
        DriverDevice(name, bus_id, uuid, total, (major, minor))
        for name, bus_id, uuid, total, (major, minor) in devices
    ]


def main() -> None:
    """Prints the devices and an error as JSON."""
    devices: list[DriverDevice] = []
    error = ""
    try:
        library = load_driver()
        devices = driver_devices(library) if library is not None else []
    except DriverError as refusal:
        error = str(refusal)
    sys.stdout.write(json.dumps([devices, error]))


if __name__ == "__main__":
    main()
