"""Kernels that write and read checkpoints, on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tfsession.checkpoint.bundle_merge import merge_bundles
from tfsession.checkpoint.bundle_reader import BundleReader
from tfsession.checkpoint.bundle_writer import BundleWriter
from tfsession.checkpoint.reader import Reader, open_checkpoint, read_tensors
from tfsession.checkpoint.saved_slices import SlicesReader, SlicesWriter
from tfsession.core.dtypes import DType, string
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import debug_string
from tfsession.core.tensor_parts import Part, parse_part, whole


def _refuse(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, text)


def _text(array: Any, what: str) -> str:
    if array.ndim:
        raise _refuse(f"{what} must be a scalar, got shape {debug_string(array.shape)}")
    return _decoded(array.item())


def _decoded(text: Any) -> str:
    return bytes(text).decode(errors="surrogateescape")


def _texts(array: Any, count: int, what: str) -> list[str]:
    if array.shape != (count,):
        raise _refuse(f"{what} must be {count} texts, got shape {debug_string(array.shape)}")
    return [_decoded(text) for text in array.tolist()]


def _part(spec: str) -> Part:
    try:
        return parse_part(spec)
    except ValueError as error:
        raise _refuse(str(error)) from None


def _written(
    names: Any, specs: Any, arrays: tuple[Any, ...], dtypes: list[DType]
) -> Iterator[tuple[str, Part, Any, DType]]:
    """What is to be written, each tensor with the part that it is of a whole."""
    count = len(arrays)
    parts = [""] * count if specs is None else _texts(specs, count, "shape_and_slices")
    for name, spec, array, dtype in zip(
        _texts(names, count, "tensor_names"), parts, arrays, dtypes, strict=True
    ):
        part = _part(spec) if spec else whole(array.shape)
        if part.lengths != array.shape:
            raise _refuse(
                "Slice in shape_and_slice specification does not match the shape of the tensor to "
                f" save: {spec}, tensor: {debug_string(array.shape)}"
            )
        yield name, part, array, dtype


@kernel("SaveV2", device="CPU")
def save_v2(
    xp: Any, prefix: Any, tensor_names: Any, shape_and_slices: Any, *tensors: Any,
    dtypes: list[DType],
) -> None:  # fmt: skip
    """Write a checkpoint of the second format."""
    items = list(_written(tensor_names, shape_and_slices, tensors, dtypes))
    total = sum(array.nbytes for _, _, array, dtype in items if dtype is not string)
    with BundleWriter(_text(prefix, "prefix"), total) as writer:
        for item in items:
            writer.add_part(*item)
        writer.finish()


@kernel("RestoreV2", device="CPU", apart=True)
def restore_v2(
    xp: Any, prefix: Any, tensor_names: Any, shape_and_slices: Any, *, dtypes: list[DType]
) -> list[Any]:
    """Tensors of a checkpoint of either format."""
    names = _texts(tensor_names, len(dtypes), "tensor_names")
    specs = _texts(shape_and_slices, len(dtypes), "shape_and_slices")
    reader = open_checkpoint(_text(prefix, "prefix"))
    found = [_wanted(reader, *asked) for asked in zip(names, specs, dtypes, strict=True)]
    return read_tensors(reader, list(zip(names, found, strict=True)))


def _wanted(reader: Reader, name: str, spec: str, dtype: DType) -> Part | None:
    """The part to read, once the tensor is known to be what is expected; None for all of it."""
    entry = reader.entry(name)
    if entry.dtype is not dtype:
        there, asked = entry.dtype.op_def_name, dtype.op_def_name
        raise _refuse(
            f"tensor_name = {name}; expected dtype {asked} does not equal original dtype {there}"
            if isinstance(reader, BundleReader)
            else f"Expected to restore a tensor of type {asked}, got a tensor of type {there} "
            f"instead: tensor_name = {name}"
        )
    if not spec:
        return None
    part = _part(spec)
    if part.shape != entry.shape:
        raise _refuse(
            f"tensor_name = {name}; shape in shape_and_slice spec {debug_string(part.shape)} does "
            f"not match the shape stored in checkpoint: {debug_string(entry.shape)}"
        )
    return part


@kernel("MergeV2Checkpoints", device="CPU")
def merge_v2_checkpoints(
    xp: Any, checkpoint_prefixes: Any, destination_prefix: Any, *, delete_old_dirs: bool,
    allow_missing_files: bool,
) -> None:  # fmt: skip
    """Make several checkpoints one."""
    merge_bundles(
        _texts(checkpoint_prefixes, checkpoint_prefixes.size, "checkpoint_prefixes"),
        _text(destination_prefix, "destination_prefix"),
        delete_old_dirs=delete_old_dirs,
        allow_missing=allow_missing_files,
    )


@kernel("ShardedFilename", device="CPU")
def sharded_filename(xp: Any, basename: Any, shard: Any, num_shards: Any) -> Any:
    """The name of one of several files."""
    name = b"%s-%05d-of-%05d" % (basename.item(), int(shard), int(num_shards))
    return np.array(name, object)


@kernel("ShardedFilespec", device="CPU")
def sharded_filespec(xp: Any, basename: Any, num_shards: Any) -> Any:
    """The pattern of the names of several files."""
    return np.array(b"%s-?????-of-%05d" % (basename.item(), int(num_shards)), object)


@kernel("Save", device="CPU")
def save(xp: Any, filename: Any, tensor_names: Any, *data: Any, T: list[DType]) -> None:
    """Write a checkpoint of the first format."""
    save_slices(xp, filename, tensor_names, None, *data, T=T)


@kernel("SaveSlices", device="CPU")
def save_slices(
    xp: Any, filename: Any, tensor_names: Any, shapes_and_slices: Any, *data: Any, T: list[DType]
) -> None:
    """Write parts of tensors to a checkpoint of the first format."""
    writer = SlicesWriter(_text(filename, "filename"))
    for item in _written(tensor_names, shapes_and_slices, data, T):
        writer.add(*item)
    writer.finish()


@kernel("Restore", device="CPU")
def restore(xp: Any, file_pattern: Any, tensor_name: Any, *, dt: DType) -> Any:
    """A tensor of a checkpoint of the first format."""
    return restore_slice(xp, file_pattern, tensor_name, np.array(b"", object), dt=dt)


@kernel("RestoreSlice", device="CPU")
def restore_slice(
    xp: Any, file_pattern: Any, tensor_name: Any, shape_and_slice: Any, *, dt: DType
) -> Any:
    """A part of a tensor of a checkpoint of the first format."""
    name = _text(tensor_name, "tensor_name")
    reader = SlicesReader(_text(file_pattern, "file_pattern"))
    part = _wanted(reader, name, _text(shape_and_slice, "shape_and_slice"), dt)
    return reader.read(name, part)
