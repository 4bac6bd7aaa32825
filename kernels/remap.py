"""Rows and columns of a saved matrix, moved as two vocabularies say; on the host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tfsession.checkpoint.reader import open_checkpoint
from tfsession.core.errors import InvalidArgumentError, NotFoundError
from tfsession.core.file_system import file_errors, local_path
from tfsession.core.rules import kernel


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _text(array: Any, what: str) -> str:
    if array.size != 1:
        raise _refuse(f"{what} should be a single string, but got shape {array.shape}")
    return bytes(array.item()).decode(errors="surrogateescape")


def _words(array: Any, what: str, most: int) -> list[bytes]:
    """The lines of a vocabulary; each may stand there once."""
    path = _text(array, what)
    with file_errors():
        lines = Path(local_path(path)).read_bytes().splitlines()
    lines = lines if most < 0 else lines[:most]
    if len(set(lines)) < len(lines):
        raise _refuse(f"{path} has a word twice")
    return lines


@kernel("GenerateVocabRemapping", device="CPU")
def generate_vocab_remapping(
    xp: Any,
    new_vocab_file: Any,
    old_vocab_file: Any,
    *,
    new_vocab_offset: int,
    num_new_vocab: int,
    old_vocab_size: int,
) -> Any:
    """Where each new word was in the old vocabulary, or -1, and how many were there."""
    new = _words(new_vocab_file, "New vocab file", -1)
    if new_vocab_offset + num_new_vocab > len(new):
        raise _refuse(
            f"Request for {num_new_vocab} words from number {new_vocab_offset} on, of "
            f"{len(new)} in the new vocabulary"
        )
    old = {word: i for i, word in enumerate(_words(old_vocab_file, "Old vocab file",
                                                   old_vocab_size))}  # fmt: skip
    wanted = new[new_vocab_offset : new_vocab_offset + num_new_vocab]
    remapping = np.array([old.get(word, -1) for word in wanted], np.int64)
    return remapping, np.int32((remapping >= 0).sum())


def _source(remapping: Any, size: int, count: int, what: str) -> Any:
    """The numbers in the old matrix, checked."""
    if remapping.shape != (count,):
        raise _refuse(f"{what}_remapping must have {count} elements, not {remapping.size}")
    known = remapping[remapping >= 0]
    if (remapping < -1).any() or (known >= size).any():
        raise _refuse(f"{what}_remapping must be in [-1, {size}), not {remapping.tolist()}")
    if len(np.unique(known)) < len(known):
        raise _refuse(f"{what}_remapping has a number twice: {remapping.tolist()}")
    return remapping


@kernel("LoadAndRemapMatrix", device="CPU")
def load_and_remap_matrix(
    xp: Any,
    ckpt_path: Any,
    old_tensor_name: Any,
    row_remapping: Any,
    col_remapping: Any,
    initializing_values: Any,
    *,
    num_rows: int,
    num_cols: int,
    max_rows_in_memory: int,
) -> Any:
    """The moved matrix; what was not in the old one comes from `initializing_values`, in order."""
    prefix, name = _text(ckpt_path, "ckpt_path"), _text(old_tensor_name, "old_tensor_name")
    reader = open_checkpoint(prefix)
    if name not in reader:
        raise NotFoundError(None, None, f"Key {name} not found in checkpoint {prefix}")
    old = reader.read(name)
    if old.ndim != 2 or old.dtype != np.float32:
        raise _refuse(f"{name} is no matrix of float32, but {old.dtype} of shape {old.shape}")
    rows = _source(row_remapping, old.shape[0], num_rows, "row")
    columns = np.arange(num_cols)
    if col_remapping.size:
        columns = _source(col_remapping, old.shape[1], num_cols, "col")
    elif old.shape[1] != num_cols:
        raise _refuse(f"{name} has {old.shape[1]} columns, not {num_cols}")
    is_known = (rows >= 0)[:, None] & (columns >= 0)
    if (~is_known).sum() != initializing_values.size:
        raise _refuse(
            f"initializing_values contained {initializing_values.size} elements, but "
            f"{(~is_known).sum()} are missing"
        )
    result = np.empty((num_rows, num_cols), np.float32)
    result[is_known] = old[np.ix_(rows[rows >= 0], columns[columns >= 0])].reshape(-1)
    result[~is_known] = initializing_values.reshape(-1)
    return result
