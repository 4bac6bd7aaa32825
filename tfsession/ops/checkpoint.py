"""Operations that write and read checkpoints; `tf.train.Saver` puts them together."""

from __future__ import annotations

from typing import Any

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape, merge
from tfsession.core.tensor_parts import parse_part
from tfsession.graph.constant_value import constant_value
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import input_rank, scalar


def _check_counts(op: Operation, count: int, *vectors: int) -> None:
    """As many names as tensors, and as many specifications."""
    for index in vectors:
        merge(input_rank(op, index, 1), (count,))


def _save_shape(op: Operation) -> list[Shape]:
    input_rank(op, 0, 0)
    vectors = (1, 2) if op.type == "SaveSlices" else (1,)
    _check_counts(op, len(op.inputs) - 1 - len(vectors), *vectors)
    return []


def _save_v2_shape(op: Operation) -> list[Shape]:
    input_rank(op, 0, 0)
    _check_counts(op, len(op.inputs) - 3, 1, 2)
    return []


def _spec_shape(spec: Any) -> Shape:
    """The shape that a specification promises; None for an empty one."""
    text = bytes(spec).decode(errors="replace")
    return parse_part(text).lengths if text else None


def _restore_v2_shape(op: Operation) -> list[Shape]:
    input_rank(op, 0, 0)
    names, specs = input_rank(op, 1, 1), input_rank(op, 2, 1)
    merge(names, specs)
    count = len(op.attrs["dtypes"])
    known = constant_value(op.inputs[2])
    if known is None:
        return [None] * count
    if len(known) != count:
        raise ValueError("The number of shape_and_slice doesn't match tensor outputs.")
    return [_spec_shape(spec) for spec in known]


def _restore_shape(op: Operation) -> list[Shape]:
    for index in range(len(op.inputs)):
        input_rank(op, index, 0)
    known = constant_value(op.inputs[2]) if len(op.inputs) > 2 else None
    return [None if known is None else _spec_shape(known.item())]


def _merge_shape(op: Operation) -> list[Shape]:
    input_rank(op, 0, 1)
    input_rank(op, 1, 0)
    return []


def _name_shape(op: Operation) -> list[Shape]:
    for index in range(len(op.inputs)):
        input_rank(op, index, 0)
    return scalar(op)


define_op(
    "SaveV2",
    ["prefix: string", "tensor_names: string", "shape_and_slices: string", "tensors: dtypes"],
    attrs=["dtypes: list(type) >= 1"],
    shape=_save_v2_shape,
    stateful=True,
)
define_op(
    "RestoreV2",
    ["prefix: string", "tensor_names: string", "shape_and_slices: string"],
    ["tensors: dtypes"],
    ["dtypes: list(type) >= 1"],
    _restore_v2_shape,
    stateful=True,
)
define_op(
    "MergeV2Checkpoints",
    ["checkpoint_prefixes: string", "destination_prefix: string"],
    attrs=["delete_old_dirs: bool = true", "allow_missing_files: bool = false"],
    shape=_merge_shape,
    stateful=True,
)
define_op(
    "ShardedFilename",
    ["basename: string", "shard: int32", "num_shards: int32"],
    ["filename: string"],
    shape=_name_shape,
)
define_op(
    "ShardedFilespec",
    ["basename: string", "num_shards: int32"],
    ["filename: string"],
    shape=_name_shape,
)
define_op(
    "Save",
    ["filename: string", "tensor_names: string", "data: T"],
    attrs=["T: list(type) >= 1"],
    shape=_save_shape,
    stateful=True,
)
define_op(
    "SaveSlices",
    ["filename: string", "tensor_names: string", "shapes_and_slices: string", "data: T"],
    attrs=["T: list(type) >= 1"],
    shape=_save_shape,
    stateful=True,
)
define_op(
    "Restore",
    ["file_pattern: string", "tensor_name: string"],
    ["tensor: dt"],
    ["dt: type", "preferred_shard: int = -1"],
    _restore_shape,
    stateful=True,
)
define_op(
    "RestoreSlice",
    ["file_pattern: string", "tensor_name: string", "shape_and_slice: string"],
    ["tensor: dt"],
    ["dt: type", "preferred_shard: int = -1"],
    _restore_shape,
    stateful=True,
)
