"""`tfsession env`: the versions that a bug report should name."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib import metadata

from tfsession.devices.nvml import driver_versions, find_cupy

__all__ = ["add_arguments", "run", "versions"]

_MISSING = "not installed"
_SETTINGS = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _version(*distributions: str) -> str:
    """The version of the first distribution that is installed, found without importing it."""
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return _MISSING


def versions() -> dict[str, str]:
    """What runs here, by name."""
    cupy = find_cupy()
    driver, cuda = driver_versions()
    found = {
        "tfsession": _version("tfsession"),
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "cpus": str(os.cpu_count()),
        "numpy": _version("numpy"),
        "ml_dtypes": _version("ml_dtypes"),
        "protobuf": _version("protobuf"),
        "nvidia-ml-py": _version("nvidia-ml-py"),
        "cupy": f"{cupy.version} ({cupy.distribution})" if cupy else _MISSING,
        "nvidia driver": driver or "none",
        "cuda of the driver": cuda or "none",
        "tensorflow": _version("tensorflow", "tensorflow-cpu"),
    }
    names = sorted(name for name in os.environ if name.startswith("TFSESSION_"))
    for name in (*_SETTINGS, *names):
        if name in os.environ:
            found[name] = os.environ[name]
    return found


def run(args: argparse.Namespace) -> int:
    """Prints the versions; always 0."""
    found = versions()
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    width = max(map(len, found))
    sys.stdout.writelines(f"{name.ljust(width)}  {value}\n" for name, value in found.items())
    return 0
