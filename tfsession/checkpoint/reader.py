"""A checkpoint of either format, by its name alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfsession.checkpoint import bundle_files, npz, safetensors
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.npz import NpzReader
from tfsession.checkpoint.safetensors import SafetensorsReader
from tfsession.checkpoint.saved_slices import SlicesReader
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.tensor_parts import Part

Reader = BundleReader | SlicesReader | SafetensorsReader | NpzReader


def open_checkpoint(prefix: str) -> Reader:
    """The reader of a checkpoint: of the second format where it has an index, else of what it is.

    Beside checkpoints of the first format these are safetensors and npz files.

    Raises:
        NotFoundError: there is none.
        DataLossError: it is damaged.
    """
    path = local_path(prefix)
    index = bundle_files.index_name(path)
    if Path(bundle_files.current(index, path)).is_file():
        return BundleReader(prefix)
    head = b""
    if Path(path).is_file():
        with file_errors(), Path(path).open("rb") as file:
            head = file.read(9)
    if safetensors.begins_so(head):
        return SafetensorsReader(path)
    return NpzReader(path) if npz.begins_so(head) else SlicesReader(prefix)


def read_tensors(reader: Reader, asked: Sequence[tuple[str, Part | None]]) -> list[Any]:
    """Tensors, or parts of them, by their names.

    Raises:
        OpError: one of them cannot be read.
    """
    if isinstance(reader, BundleReader):
        return reader.read_all(asked)
    return [reader.read(name, part) for name, part in asked]
