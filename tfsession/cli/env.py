"""`tfsession env`: what a bug report should name, without what tells who and where one is."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from tfsession.cli import snapshot
from tfsession.cli.devices import short_name, size_text
from tfsession.core.errors import OpError
from tfsession.devices import blas, cudnn, gemm, native, onednn
from tfsession.devices.nvml import find_cupy

__all__ = ["SCHEMA_VERSION", "add_arguments", "report", "run", "without_private"]

SCHEMA_VERSION = 1

_MISSING = "not installed"
_SETTINGS = (
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_TF32_OVERRIDE", "CUPY_TF32"),
    "TF_MATMUL_AUTOTUNE_ENABLE",
)
_BLAS_SETTINGS = (
    *("OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"),
    *(onednn.SWITCH, "TF_ENABLE_WINOGRAD_NONFUSED"),
)
_REMOVED = "<removed>"
_HEX = "[0-9a-fA-F]"
_PRIVATE = re.compile(
    # NVIDIA's UUIDs, which may be shortened, and others.
    rf"(?P<kind>\b(?:GPU|MIG)-(?:GPU-)?){_HEX}[0-9a-fA-F/-]*"
    rf"|\b{_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}\b"
    # Paths and addresses: with a drive, with "//" or "~", or from the root.
    r"|(?:\b[A-Za-z]:\\|\b\w+://|~[\w.-]*[/\\]|(?<![\w.])/)[^\s,;'\"]+"
)

Row = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def without_private(text: str, host: str | None = None) -> str:
    """`text` without UUIDs, paths and the name of this host, for which `<removed>` stands."""
    text = _PRIVATE.sub(lambda found: (found["kind"] or "") + _REMOVED, text)
    host = platform.node() if host is None else host
    names = {name for name in (host, host.partition(".")[0]) if name not in ("", "localhost")}
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", _REMOVED, text)
    return text


def _version(*distributions: str) -> str:
    """The version of the first distribution that is installed, found without importing it."""
    for distribution in distributions:
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return _MISSING


def _versions(found: Row) -> dict[str, str]:
    cupy = find_cupy()
    return {
        "tfsession": found["tfsession_version"],
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": platform.platform(),
        "cpus": str(os.cpu_count()),
        "numpy": _version("numpy"),
        "blas": blas.description(),
        "onednn": onednn.description(),
        "llvm": native.description(),
        "ml_dtypes": _version("ml_dtypes"),
        "protobuf": _version("protobuf"),
        "nvidia-ml-py": _version("nvidia-ml-py"),
        "cublaslt": gemm.description(),
        "cudnn": cudnn.description(),
        "cupy": f"{cupy.version} ({cupy.distribution})" if cupy else _MISSING,
        "nvidia driver": found["driver_version"] or "none",
        "cuda of the driver": found["cuda_version"] or "none",
        "tensorflow": _version("tensorflow", "tensorflow-cpu"),
    }


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    own = sorted(name for name in environ if name.startswith("TFSESSION_"))
    names = [name for name in (*_SETTINGS, *_BLAS_SETTINGS, *own) if name in environ]
    return {name: without_private(environ[name]) for name in names}


def _device_text(row: Row) -> str:
    total, limit = row["total_memory_bytes"], row["memory_limit_bytes"]
    words = [row["physical_name"], *([size_text(total)] if total is not None else [])]
    if row["device_type"] == "GPU" and limit is not None:
        words.append(f"limit {size_text(limit)}")
    if row["compute_capability"]:
        words.append(f"compute capability {row['compute_capability']}")
    text = ", ".join(words)
    return without_private(text if row["usable"] else f"{text}: not used, {row['reason']}")


def report(environ: Mapping[str, str] = os.environ) -> Row:
    """Versions, the variables that are set, and a line for each device.

    InvalidArgumentError where a variable cannot be read.
    """
    found = snapshot.take(environ)
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {name: without_private(text) for name, text in _versions(found).items()},
        "environment": _environment(environ),
        "devices": [f"{short_name(row['name'])} {_device_text(row)}" for row in found["devices"]],
        "note": without_private(found["note"]),
    }


def run(args: argparse.Namespace) -> int:
    """Prints the report; 2 where a variable cannot be read."""
    try:
        found = report()
    except OpError as error:
        sys.stderr.write(f"tfsession: {error.message}\n")
        return 2
    if args.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    named = found["versions"] | found["environment"]
    width = max(map(len, named))
    sys.stdout.writelines(f"{name.ljust(width)}  {value}\n" for name, value in named.items())
    sys.stdout.writelines(f"{'device'.ljust(width)}  {line}\n" for line in found["devices"])
    if found["note"]:
        sys.stdout.write(f"{'no gpu'.ljust(width)}  {found['note']}\n")
    return 0
