"""Parsing serialized SequenceExamples: `tf.parse_single_sequence_example` and its kin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_operation, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import with_rank_at_most
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.features import (
    Columns,
    FixedLenFeature,
    FixedLenSequenceFeature,
    VarLenFeature,
)
from tfsession.ops.parse_example import scalar_input


def _shapes(op: Operation) -> list[Shape]:
    batch, attrs = with_rank_at_most(op.inputs[0]._shape, 1), op.attrs
    rank = None if batch is None else len(batch)
    rows = (batch[0] + 1,) if batch and batch[0] is not None else (None,)

    def sparse(count: int, more: int) -> list[Shape]:
        places = None if rank is None else rank + more
        return [*[(None, places)] * count, *[(None,)] * count, *[(places,)] * count]

    def dense(shapes: list[Shape], *steps: None) -> list[Shape]:
        return [
            None if batch is None or shape is None else (*batch, *steps, *shape) for shape in shapes
        ]

    ragged = len(attrs["context_ragged_value_types"])
    list_ragged = len(attrs["feature_list_ragged_value_types"])
    return [
        *sparse(attrs["Ncontext_sparse"], 1),
        *dense(attrs["context_dense_shapes"]),
        *[(None,)] * ragged,
        *[rows] * ragged,
        *sparse(attrs["Nfeature_list_sparse"], 2),
        *dense(attrs["feature_list_dense_shapes"], None),
        *[batch] * attrs["Nfeature_list_dense"],
        *[(None,)] * list_ragged,
        *[rows] * list_ragged,
        *[(None,)] * list_ragged,
    ]


_TYPES = "list({float, int64, string}) >= 0 = []"
_SPLITS = "list({int32, int64}) >= 0 = []"
define_op(
    "ParseSequenceExampleV2",
    inputs=[
        *("serialized: string", "debug_name: string", "context_sparse_keys: string"),
        *("context_dense_keys: string", "context_ragged_keys: string"),
        *("feature_list_sparse_keys: string", "feature_list_dense_keys: string"),
        *("feature_list_ragged_keys: string", "feature_list_dense_missing_assumed_empty: bool"),
        "context_dense_defaults: Tcontext_dense",
    ],
    outputs=[
        "context_sparse_indices: Ncontext_sparse * int64",
        "context_sparse_values: context_sparse_types",
        "context_sparse_shapes: Ncontext_sparse * int64",
        "context_dense_values: Tcontext_dense",
        "context_ragged_values: context_ragged_value_types",
        "context_ragged_row_splits: context_ragged_split_types",
        "feature_list_sparse_indices: Nfeature_list_sparse * int64",
        "feature_list_sparse_values: feature_list_sparse_types",
        "feature_list_sparse_shapes: Nfeature_list_sparse * int64",
        "feature_list_dense_values: feature_list_dense_types",
        "feature_list_dense_lengths: Nfeature_list_dense * int64",
        "feature_list_ragged_values: feature_list_ragged_value_types",
        "feature_list_ragged_outer_splits: feature_list_ragged_split_types",
        "feature_list_ragged_inner_splits: feature_list_ragged_split_types",
    ],
    attrs=[
        *("Ncontext_sparse: int >= 0 = 0", f"Tcontext_dense: {_TYPES}"),
        *(f"context_sparse_types: {_TYPES}", f"context_ragged_value_types: {_TYPES}"),
        f"context_ragged_split_types: {_SPLITS}",
        "context_dense_shapes: list(shape) >= 0 = []",
        *("Nfeature_list_sparse: int >= 0 = 0", "Nfeature_list_dense: int >= 0 = 0"),
        *(f"feature_list_dense_types: {_TYPES}", f"feature_list_sparse_types: {_TYPES}"),
        f"feature_list_ragged_value_types: {_TYPES}",
        f"feature_list_ragged_split_types: {_SPLITS}",
        "feature_list_dense_shapes: list(shape) >= 0 = []",
    ],
    shape=_shapes,
)

_Parsed = tuple[dict[str, Any], dict[str, Any], dict[str, Any]]


def _columns(context_features: Any, sequence_features: Any) -> tuple[Columns, Columns]:
    if not (context_features or sequence_features):
        raise ValueError(
            "Both `context_features` and `sequence_features` argument are None, but at least one "
            "should have values."
        )
    lists = Columns(sequence_features, (VarLenFeature, FixedLenSequenceFeature))
    for key, value in lists.defaults.items():
        if value is not None:
            raise ValueError(f"Value feature_list.dense_defaults[{key}] must be None")
    return Columns(context_features, (VarLenFeature, FixedLenFeature)), lists


def _parse(
    serialized: Any, names: Any, context: Columns, lists: Columns, name: str | None
) -> _Parsed:
    graph = graph_of([serialized])
    with graph.as_default(), graph.name_scope(name or "ParseSequenceExample"):
        inputs = [
            convert_to_tensor(serialized, name="serialized"),
            [] if names is None else names,
            context.sparse_keys,
            context.dense_keys,
            [],
            lists.sparse_keys,
            lists.dense_keys,
            [],
            np.array([key in lists.defaults for key in lists.dense_keys], bool),
            context.dense_defaults(),
        ]
        attrs = {
            "Ncontext_sparse": len(context.sparse_keys),
            "context_sparse_types": context.sparse_types,
            "context_dense_shapes": context.dense_shapes,
            "Nfeature_list_sparse": len(lists.sparse_keys),
            "Nfeature_list_dense": len(lists.dense_keys),
            "feature_list_dense_types": lists.dense_types,
            "feature_list_sparse_types": lists.sparse_types,
            "feature_list_dense_shapes": lists.dense_shapes,
        }
        outputs = list(create_operation("ParseSequenceExampleV2", inputs, attrs, name).outputs)
    found = [_taken(columns, outputs) for columns in (context, lists)]
    return found[0], found[1], dict(zip(lists.dense_keys, outputs, strict=True))


def _taken(columns: Columns, outputs: list[Tensor]) -> dict[str, Any]:
    """The columns by name; their outputs are taken out of the list's front."""
    count = len(columns.sparse_keys)
    parts = [[outputs.pop(0) for _ in range(count)] for _ in range(3)]
    sparse: Sequence[Any] = [SparseTensor(*one) for one in zip(*parts, strict=True)]
    dense = [outputs.pop(0) for _ in columns.dense_keys]
    keys = [*columns.sparse_keys, *columns.dense_keys]
    return dict(zip(keys, [*sparse, *dense], strict=True))


@export("parse_single_sequence_example", "io.parse_single_sequence_example")
def parse_single_sequence_example(
    serialized: Any,
    context_features: Mapping[str, Any] | None = None,
    sequence_features: Mapping[str, Any] | None = None,
    example_name: Any = None,
    name: str | None = None,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The features of a serialized SequenceExample: of its context, and step by step.

    Args:
        serialized: a string scalar.
        context_features: what to parse of the context, by name: FixedLenFeature or VarLenFeature.
        sequence_features: what to parse of the feature lists: FixedLenSequenceFeature or
            VarLenFeature.
        example_name: the name of the example, for error messages: a string scalar.
        name: name of the operation.

    Returns:
        Two dicts by name. What comes from feature lists has a first dimension for the steps.

    Raises:
        ValueError: a feature is not well described, or `serialized` is no scalar.
    """
    context, lists = _columns(context_features, sequence_features)
    graph = graph_of([serialized, example_name])
    with graph.as_default(), graph.name_scope(name or "ParseSingleSequenceExample"):
        with graph.name_scope(name or "ParseSingleExample"):
            one = scalar_input(convert_to_tensor(serialized, name="serialized"), "serialized")
        return _parse(one, example_name, context, lists, name)[:2]


@export("io.parse_sequence_example")
def parse_sequence_example(
    serialized: Any,
    context_features: Mapping[str, Any] | None = None,
    sequence_features: Mapping[str, Any] | None = None,
    example_names: Any = None,
    name: str | None = None,
) -> _Parsed:
    """The features of serialized SequenceExamples, as `parse_single_sequence_example` has them.

    Args:
        serialized: a string vector.
        context_features: what to parse of the contexts, by name.
        sequence_features: what to parse of the feature lists, by name.
        example_names: names of the examples, for error messages: a string vector.
        name: name of the operation.

    Returns:
        Three dicts by name, with a first dimension for the examples: of the contexts; of the
        feature lists, padded with zeros or empty strings to the longest; and the lengths of those
        that FixedLenSequenceFeature describes.

    Raises:
        ValueError: a feature is not well described.
    """
    context, lists = _columns(context_features, sequence_features)
    graph = graph_of([serialized, example_names])
    with graph.as_default(), graph.name_scope(name or "ParseSequenceExample"):
        return _parse(serialized, example_names, context, lists, name)
