"""Variables in files that other libraries read: safetensors and npz, written and read back."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.checkpoint.reader import Reader, open_checkpoint, read_tensors
from tfsession.checkpoint.safetensors import write_safetensors
from tfsession.checkpoint.weights import WRITERS, KeptWeights
from tfsession.core.errors import InvalidArgumentError, NotFoundError
from tfsession.core.exports import export
from tfsession.core.tensor_parts import Part, parse_part, whole
from tfsession.core.tensor_proto import to_ndarray
from tfsession.ops.saveable import saveables_by_name
from tfsession.ops.variables import Variable
from tfsession.train.checkpoint_reader import checkpoint_name

# By the ends of files' names.
_FORMATS: Final = {".safetensors": "safetensors", ".npz": "npz"}
# Names in an error.
_MOST_TOLD: Final = 10


class _Piece(NamedTuple):
    """A variable; `part` is what it is of a partitioned one, None where it is whole."""

    name: str
    variable: Variable
    part: Part | None


@export("train.export_weights")
def export_weights(
    sess: Any,
    path: Any,
    var_list: Any = None,
    format: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> str:
    """Write the values of variables to a safetensors or npz file, under their names in checkpoints.

    All values are those of one moment. A partitioned variable is written as one tensor. The file
    takes the place of another one only when all of it is on the disk.

    Args:
        sess: the session that holds the values.
        path: the file; its directory is made.
        var_list: variables in a list, or by the names that they are to have; all global variables
            when None.
        format: "safetensors" or "npz"; what the end of the file's name says when None.
        metadata: texts by name to write into a safetensors file.

    Returns:
        The path.

    Raises:
        ValueError: the format is not known, or parts of a partitioned variable are left out.
        TypeError: `var_list` holds something else than variables.
        FailedPreconditionError: a variable has no value.
        InvalidArgumentError: the format does not know the dtype of a variable.
    """
    target = os.fsdecode(path)
    chosen = format or _FORMATS.get(Path(target).suffix)
    if chosen not in _FORMATS.values():
        raise ValueError(
            f"Expected a file called *.safetensors or *.npz, or a format 'safetensors' or 'npz': "
            f"got {target!r}, format {format!r}"
        )
    if metadata and chosen != "safetensors":
        raise ValueError(f"Only safetensors files hold metadata; {target!r} is one of {chosen}")
    pieces = _pieces(sess, var_list)
    values = sess.run([piece.variable for piece in pieces])
    found: dict[str, dict[Part, Any]] = {}
    for piece, value in zip(pieces, values, strict=True):
        array = to_ndarray(value, piece.variable.dtype.base_dtype)
        found.setdefault(piece.name, {})[piece.part or whole(array.shape)] = array
    weights = KeptWeights({name: _joined(name, parts) for name, parts in found.items()})
    if metadata:
        write_safetensors(target, weights, metadata)
    else:
        WRITERS[chosen](target, weights)
    return target


def _joined(name: str, parts: dict[Part, Any]) -> Any:
    """The whole of a tensor."""
    first, array = next(iter(parts.items()))
    if len(parts) == 1 and first.is_whole:
        return array
    if sum(part.size for part in parts) != math.prod(first.shape):
        raise ValueError(f"Not all of the partitioned variable {name} is given")
    joined = np.empty(first.shape, array.dtype)
    for part, values in parts.items():
        joined[tuple(slice(start, start + size) for start, size in part.bounds)] = values
    return joined


@export("train.import_weights")
def import_weights(sess: Any, path: Any, var_list: Any = None, strict: bool = False) -> list[str]:
    """Give variables the values of a safetensors or npz file, or of a checkpoint.

    All is checked, and read, before the first variable changes. No operation is added, so that the
    graph may be finalized; the variables need not be initialized.

    Args:
        sess: the session that holds the variables.
        path: the file, the name of a checkpoint, or the directory of its state file.
        var_list: variables in a list, or by the names that they have in the file; all global
            variables when None.
        strict: refuse a file that has a tensor for which there is no variable.

    Returns:
        The names of the tensors, sorted.

    Raises:
        TypeError: `var_list` holds something else than variables.
        NotFoundError: there is no such file, or it lacks a variable.
        InvalidArgumentError: a tensor is of another dtype or shape than its variable, or `strict`
            is not met.
        DataLossError: the file is damaged.
    """
    reader = open_checkpoint(checkpoint_name(path))
    pieces = _pieces(sess, var_list)
    _check(reader, pieces, os.fsdecode(path), strict)
    values = read_tensors(reader, [(piece.name, piece.part) for piece in pieces])
    for feeds, initializers in _rounds(pieces, values):
        sess.run(initializers, feeds)
    return sorted({piece.name for piece in pieces})


def _rounds(
    pieces: Iterable[_Piece], values: Iterable[Any]
) -> Iterable[tuple[dict[Any, Any], list[Any]]]:
    """Feeds and initializers: one step for all, but for variables that share an initial value."""
    waiting = [
        (piece.variable.initializer, value) for piece, value in zip(pieces, values, strict=True)
    ]
    while waiting:
        feeds: dict[Any, Any] = {}
        now, later = [], []
        for initializer, value in waiting:
            source = initializer.inputs[1]
            if source in feeds:
                later.append((initializer, value))
            else:
                feeds[source] = value
                now.append(initializer)
        yield feeds, now
        waiting = later


def _pieces(sess: Any, var_list: Any) -> list[_Piece]:
    """The variables, in the order of their names."""
    if not (hasattr(sess, "run") and hasattr(sess, "graph")):
        raise TypeError(f"'sess' must be a Session; {sess}")
    with sess.graph.as_default():
        if var_list is None:
            var_list = sess.graph.get_collection("variables")
        named = var_list if isinstance(var_list, Mapping) else saveables_by_name(list(var_list))
    pieces = []
    for name in sorted(named):
        item = named[name]
        if hasattr(item, "_get_variable_list"):
            item = item._get_variable_list()
        for variable in item if isinstance(item, list | tuple) else [item]:
            if not isinstance(variable, Variable):
                raise TypeError(f"Expected variables, got {variable!r} for {name}")
            info = variable._save_slice_info
            pieces.append(_Piece(name, variable, parse_part(info.spec) if info else None))
    return pieces


def _check(reader: Reader, pieces: list[_Piece], path: str, strict: bool) -> None:
    """Raise an error that names all tensors that are missing, or else all that do not fit."""
    names = {piece.name for piece in pieces}
    missing = sorted(name for name in names if name not in reader)
    if missing:
        raise NotFoundError(None, None, f"{path} lacks {_listed(missing)}")
    wrong = [told for piece in pieces if (told := _mismatch(reader, piece))]
    if wrong:
        raise InvalidArgumentError(
            None, None, f"What {path} holds does not fit the variables: {_listed(wrong, '; ')}"
        )
    if strict and (more := sorted(set(reader.names()) - names)):
        raise InvalidArgumentError(
            None, None, f"{path} holds tensors for which there is no variable: {_listed(more)}"
        )


def _mismatch(reader: Reader, piece: _Piece) -> str:
    """In what way a tensor is not what its variable needs; empty where it is."""
    entry, variable = reader.entry(piece.name), piece.variable
    dtype, shape = variable.dtype.base_dtype, tuple(entry.shape)
    if entry.dtype is not dtype:
        return f"{piece.name} is {entry.dtype.name} there, {dtype.name} here"
    if piece.part is not None:
        fits = piece.part.shape == shape
        return "" if fits else f"{piece.name} is {list(shape)} there, {list(piece.part.shape)} here"
    for here in (variable.shape, variable.initializer.inputs[1].shape):
        if not here.is_compatible_with(shape):
            return f"{piece.name} is {list(shape)} there, {here} here"
    return ""


def _listed(texts: list[str], separator: str = ", ") -> str:
    more = len(texts) - _MOST_TOLD
    return separator.join(texts[:_MOST_TOLD]) + (f" and {more:,} more" if more > 0 else "")
