"""Kernels that read and write files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfsession.core.errors import InvalidArgumentError
from tfsession.core.file_system import file_errors, local_path, matching_paths
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string


def _scalar(value: Any, what: str) -> Any:
    if value.shape != ():
        shape = debug_string(value.shape)
        raise InvalidArgumentError(
            None, None, f"{what} tensor must be scalar, but had shape: {shape}"
        )
    return value.item()


@kernel("ReadFile", device="CPU")
def read_file(xp: Any, filename: Any) -> Any:
    """What is in the file."""
    with file_errors():
        data = Path(local_path(_scalar(filename, "Input filename"))).read_bytes()
    return np.array(data, object)


@kernel("WriteFile", device="CPU")
def write_file(xp: Any, filename: Any, contents: Any) -> None:
    """Nothing; the file is there, with the directories on the way to it."""
    path = Path(local_path(_scalar(filename, "Input filename")))
    data = _scalar(contents, "Contents")
    with file_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


@kernel("MatchingFiles", device="CPU")
def matching_files(xp: Any, pattern: Any) -> Any:
    """The names of the files that fit, sorted."""
    if pattern.ndim > 1:
        shape = debug_string(pattern.shape)
        raise InvalidArgumentError(
            None, None, f"Input patterns tensor must be scalar or vector, but had shape: {shape}"
        )
    with file_errors():
        found = [path for one in pattern.flat for path in matching_paths(one)]
    return np.array(sorted(path.encode(errors="surrogateescape") for path in found), object)
