"""Tensors by name, wherever they are: what readers of all formats have in common, and writers take.

A file of tensors says itself what it is: its name plays no part in reading it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from tfsession.checkpoint.bundle_writer import BundleWriter
from tfsession.checkpoint.npz import write_npz
from tfsession.checkpoint.safetensors import write_safetensors
from tfsession.checkpoint.saved_slices import SlicesWriter
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.tensor_parts import whole

# Each tensor is in a protocol message there, which ends at 2 GB.
_MOST_BYTES: Final = (1 << 31) - (1 << 16)


class Weights(Protocol):
    """Tensors by name, read one by one."""

    def names(self) -> list[str]:
        """The names of all tensors."""

    def entry(self, name: str) -> Any:
        """What is known of a tensor: its `dtype` and its `shape`."""

    def read(self, name: str) -> Any:
        """A tensor as an array."""


class _Kept(NamedTuple):
    dtype: DType
    shape: tuple[int, ...]


class KeptWeights:
    """Arrays in memory as weights."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self._arrays = dict(arrays)

    def names(self) -> list[str]:
        """Their names, sorted."""
        return sorted(self._arrays)

    def entry(self, name: str) -> _Kept:
        """The dtype and the shape of one."""
        array = self._arrays[name]
        return _Kept(as_dtype(array.dtype), array.shape)

    def read(self, name: str) -> Any:
        """The array itself."""
        return self._arrays[name]


class ChosenWeights:
    """Some of other weights.

    Args:
        weights: the others.
        names: which.
        watch: called with the name of each tensor when it is read.
    """

    def __init__(
        self, weights: Weights, names: list[str], watch: Callable[[str], object] | None = None
    ) -> None:
        self._weights, self._names, self._watch = weights, names, watch

    def names(self) -> list[str]:
        """The chosen names."""
        return self._names

    def entry(self, name: str) -> Any:
        """What is known of a tensor."""
        return self._weights.entry(name)

    def read(self, name: str) -> Any:
        """A tensor."""
        if self._watch is not None:
            self._watch(name)
        return self._weights.read(name)


def write_bundle(path: str, weights: Weights) -> None:
    """Write a checkpoint of the second format; UnimplementedError for dtypes it does not know."""
    with BundleWriter(path) as writer:
        for name in weights.names():
            writer.add(name, weights.read(name), weights.entry(name).dtype)
        writer.finish()


def write_slices(path: str, weights: Weights) -> None:
    """Write a checkpoint of the first format; UnimplementedError for dtypes it does not know."""
    with file_errors():
        Path(local_path(path)).parent.mkdir(parents=True, exist_ok=True)
    writer = SlicesWriter(path)
    for name in weights.names():
        entry = weights.entry(name)
        if entry.dtype.size * math.prod(entry.shape) >= _MOST_BYTES:
            raise InvalidArgumentError(
                None,
                None,
                f"Tensor {name} has 2 GB or more: the first format of checkpoints cannot hold it",
            )
        writer.add(name, whole(tuple(entry.shape)), weights.read(name), entry.dtype)
    writer.finish()


# How to write each format, by the name that users give it. All or nothing is written.
WRITERS: Final[dict[str, Callable[[str, Weights], None]]] = {
    "safetensors": write_safetensors,
    "npz": write_npz,
    "v2": write_bundle,
    "v1": write_slices,
}
