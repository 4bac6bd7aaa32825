"""Reading checkpoints without a graph: `NewCheckpointReader` and its like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.reader import open_checkpoint
from tfsession.core.dtypes import DType
from tfsession.core.errors import NotFoundError
from tfsession.core.exports import export
from tfsession.core.shape import debug_string
from tfsession.train.checkpoint_state import latest_checkpoint


class CheckpointReader:
    """The tensors of a checkpoint, by name; made by `tf.train.NewCheckpointReader`."""

    def __init__(self, filename: Any) -> None:
        self._name = _text(filename)
        self._reader = open_checkpoint(self._name)

    def has_tensor(self, tensor_str: Any) -> bool:
        """Whether there is a tensor of that name."""
        return _text(tensor_str) in self._reader

    def get_tensor(self, tensor_str: Any) -> Any:
        """The value of a tensor: a new array, or a number or bytes for a scalar.

        Raises:
            NotFoundError: there is none of that name, or a file is missing.
            DataLossError: a file is damaged.
        """
        name = _text(tensor_str)
        if name not in self._reader:
            is_bundle = isinstance(self._reader, BundleReader)
            text = f"Key {name} not found in checkpoint"
            raise NotFoundError(
                None, None, text if is_bundle else f"{name} not found in checkpoint file"
            )
        return self._reader.read(name)[()]

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """The shapes of all tensors, as lists."""
        return {name: list(self._reader.entry(name).shape) for name in self._reader.names()}

    def get_variable_to_dtype_map(self) -> dict[str, DType]:
        """The dtypes of all tensors."""
        return {name: self._reader.entry(name).dtype for name in self._reader.names()}

    def debug_string(self) -> bytes:
        """A line for each tensor: its name, dtype and shape."""
        lines = []
        for name in self._reader.names():
            entry = self._reader.entry(name)
            text = f"{name} (DT_{entry.dtype.op_def_name.upper()}) {debug_string(entry.shape)}"
            parts = entry.parts if isinstance(self._reader, BundleReader) else ()
            lines.append(text + "".join(f" {part.spec()}" for part in parts) + "\n")
        return "".join(lines).encode()


def _text(name: Any) -> str:
    if isinstance(name, bytes):
        return name.decode()
    if isinstance(name, str):
        return name
    raise TypeError(f"Expected a text, got {name!r} of type {type(name).__name__}")


@export("train.NewCheckpointReader")
def new_checkpoint_reader(filepattern: Any) -> CheckpointReader:
    """Open a checkpoint, given by its name.

    Raises:
        NotFoundError: there is none.
        DataLossError: its index is damaged.
    """
    return CheckpointReader(filepattern)


@export("train.load_checkpoint")
def load_checkpoint(ckpt_dir_or_file: Any) -> CheckpointReader:
    """Open a checkpoint, given by its name or by its directory, where the latest one counts.

    Raises:
        NotFoundError: there is none of that name.
        ValueError: the directory names none.
    """
    return CheckpointReader(checkpoint_name(ckpt_dir_or_file))


@export("train.load_variable")
def load_variable(ckpt_dir_or_file: Any, name: str) -> Any:
    """The value of a variable in a checkpoint; `":0"` at the end of `name` does not count."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


@export("train.list_variables")
def list_variables(ckpt_dir_or_file: Any) -> list[tuple[str, list[int]]]:
    """The names and shapes of all variables in a checkpoint, sorted by name."""
    shapes = load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map()
    return sorted(shapes.items())


def checkpoint_name(directory_or_name: Any) -> str:
    """The name of a checkpoint that is given by its name or by its directory.

    Raises:
        ValueError: the directory names none.
    """
    name = os.fsdecode(directory_or_name)
    if not Path(name).is_dir():
        return name
    found = latest_checkpoint(name)
    if found is None:
        raise ValueError(
            f"Couldn't find 'checkpoint' file or checkpoints in given directory {directory_or_name}"
        )
    return found
