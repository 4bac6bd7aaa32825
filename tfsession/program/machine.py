"""What tests ask of the machine: `tf.test.is_gpu_available` and its like."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from tfsession.core.exports import export
from tfsession.session import Session


def _gpus() -> list[str]:
    with Session() as session:
        return [d.name for d in session.list_devices() if d.device_type == "GPU"]


@export("test.is_gpu_available", "python.platform.test.is_gpu_available")
def is_gpu_available(cuda_only: bool = False, min_cuda_compute_capability: Any = None) -> bool:
    """Whether a session would have a GPU.

    Args:
        cuda_only: not used: all GPUs here are of CUDA, or simulated ones.
        min_cuda_compute_capability: not used.
    """
    return bool(_gpus())


@export("test.gpu_device_name")
def gpu_device_name() -> str:
    """The name of the first GPU, as for `tf.device`; empty without one."""
    gpus = _gpus()
    return gpus[0].partition("/device:")[2].join(("/device:", "")) if gpus else ""


@export("test.is_built_with_cuda", "test.is_built_with_gpu_support")
def is_built_with_cuda() -> bool:
    """True: kernels for CUDA devices are there, to be used where CuPy is."""
    return True


@export("test.is_built_with_rocm", "test.is_built_with_xla")
def is_built_with_rocm() -> bool:
    """False."""
    return False


@export("test.get_temp_dir")
def get_temp_dir() -> str:
    """A directory for files of a test; the same one for the whole process."""
    global _directory
    if _directory is None or not Path(_directory).is_dir():
        _directory = os.environ.get("TEST_TMPDIR") or tempfile.mkdtemp(prefix="tfsession-test-")
    return _directory


@export("test.test_src_dir_path")
def test_src_dir_path(relative_path: str) -> str:
    """The path of a file below the directory that TEST_SRCDIR names, or below this one."""
    return str(Path(os.environ.get("TEST_SRCDIR", "")) / relative_path)


_directory: str | None = None
