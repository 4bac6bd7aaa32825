"""Parsing serialized Examples: `tf.parse_example` and `tf.parse_single_example`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfsession.core.exports import export
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import convert_to_tensor, create_operation, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.shape_fns import input_rank, with_rank_at_most
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops.compare import equal
from tfsession.ops.constant import with_dependencies
from tfsession.ops.control import assert_
from tfsession.ops.features import (
    Columns,
    FixedLenFeature,
    FixedLenSequenceFeature,
    VarLenFeature,
)
from tfsession.ops.shape import rank

# --- definitions ----------------------------------------------------------------------------------

_TYPES = "list({float, int64, string}) >= 0"


def _outputs(op: Operation, batch: Shape, sparse: int, ragged: int = 0) -> list[Shape]:
    """The shapes of the columns of a batch of the given shape, of one example if that is ()."""
    places = None if batch is None else len(batch) + 1
    dense = [
        None if batch is None or shape is None else (*batch, *shape)
        for shape in op.attrs["dense_shapes"]
    ]
    rows = (batch[0] + 1,) if batch and batch[0] is not None else (None,)
    return [
        *[(None, places)] * sparse,
        *[(None,)] * sparse,
        *[(places,)] * sparse,
        *dense,
        *[(None,)] * ragged,
        *[rows] * ragged,
    ]


def _of_batch_or_one(op: Operation) -> list[Shape]:
    batch = with_rank_at_most(op.inputs[0]._shape, 1)
    ragged = len(op.attrs["ragged_value_types"])
    return _outputs(op, batch, op.attrs["num_sparse"], ragged)


def _of_batch(op: Operation) -> list[Shape]:
    return _outputs(op, input_rank(op, 0, 1), op.attrs["Nsparse"])


def _of_one(op: Operation) -> list[Shape]:
    input_rank(op, 0, 0)
    return _outputs(op, (), op.attrs["num_sparse"])


define_op(
    "ParseExampleV2",
    inputs=[
        *("serialized: string", "names: string", "sparse_keys: string", "dense_keys: string"),
        *("ragged_keys: string", "dense_defaults: Tdense"),
    ],
    outputs=[
        *("sparse_indices: num_sparse * int64", "sparse_values: sparse_types"),
        *("sparse_shapes: num_sparse * int64", "dense_values: Tdense"),
        *("ragged_values: ragged_value_types", "ragged_row_splits: ragged_split_types"),
    ],
    attrs=[
        *(f"Tdense: {_TYPES}", "num_sparse: int >= 0", f"sparse_types: {_TYPES}"),
        *(f"ragged_value_types: {_TYPES}", "ragged_split_types: list({int32, int64}) >= 0"),
        "dense_shapes: list(shape) >= 0",
    ],
    shape=_of_batch_or_one,
)
define_op(
    "ParseExample",
    inputs=[
        *("serialized: string", "names: string", "sparse_keys: Nsparse * string"),
        *("dense_keys: Ndense * string", "dense_defaults: Tdense"),
    ],
    outputs=[
        *("sparse_indices: Nsparse * int64", "sparse_values: sparse_types"),
        *("sparse_shapes: Nsparse * int64", "dense_values: Tdense"),
    ],
    attrs=[
        *("Nsparse: int >= 0", "Ndense: int >= 0", f"sparse_types: {_TYPES}"),
        *(f"Tdense: {_TYPES}", "dense_shapes: list(shape) >= 0"),
    ],
    shape=_of_batch,
)
define_op(
    "ParseSingleExample",
    inputs=["serialized: string", "dense_defaults: Tdense"],
    outputs=[
        *("sparse_indices: num_sparse * int64", "sparse_values: sparse_types"),
        *("sparse_shapes: num_sparse * int64", "dense_values: Tdense"),
    ],
    attrs=[
        *("num_sparse: int >= 0", "sparse_keys: list(string) >= 0"),
        *("dense_keys: list(string) >= 0", f"sparse_types: {_TYPES}", f"Tdense: {_TYPES}"),
        "dense_shapes: list(shape) >= 0",
    ],
    shape=_of_one,
)


# --- builders -------------------------------------------------------------------------------------


def _with_lengths(features: Mapping[str, Any]) -> dict[str, Any]:
    """The features, those of sequences with the unknown first dimension that tensors get."""
    found = dict(features)
    for key, feature in features.items():
        if isinstance(feature, FixedLenSequenceFeature):
            if not feature.allow_missing:
                raise ValueError(
                    "Unsupported: FixedLenSequenceFeature requires allow_missing to be True."
                )
            found[key] = feature._replace(shape=[None, *feature.shape])
    return found


@export("parse_example", "io.parse_example")
def parse_example(
    serialized: Any,
    features: Mapping[str, Any],
    name: str | None = None,
    example_names: Any = None,
) -> dict[str, Any]:
    """The features of serialized Examples, each of all examples together.

    Args:
        serialized: a string vector; a scalar for one example.
        features: what to parse, by name: FixedLenFeature, VarLenFeature or
            FixedLenSequenceFeature.
        name: name of the operation.
        example_names: names of the examples, for error messages: a string vector.

    Returns:
        A dict by name of tensors with a first dimension for the examples, and of SparseTensors.
        When it runs it raises InvalidArgumentError if an example has not what was asked for.

    Raises:
        ValueError: a feature is not well described.
    """
    if not features:
        raise ValueError(f"Argument `features` cannot be None or falsy. Got {features}")
    kinds = (VarLenFeature, FixedLenFeature, FixedLenSequenceFeature)
    columns = Columns(_with_lengths(features), kinds)
    graph = graph_of([serialized, example_names])
    with graph.as_default(), graph.name_scope(name or "ParseExample"):
        inputs = [
            convert_to_tensor(serialized, name="serialized"),
            [] if example_names is None else example_names,
            columns.sparse_keys,
            columns.dense_keys,
            [],
            columns.dense_defaults(),
        ]
        attrs = {
            "num_sparse": len(columns.sparse_keys),
            "sparse_types": columns.sparse_types,
            "ragged_value_types": [],
            "ragged_split_types": [],
            "dense_shapes": columns.dense_shapes,
        }
        operation = create_operation("ParseExampleV2", inputs, attrs, name)
    return _by_name(columns, operation.outputs)


def _by_name(columns: Columns, outputs: Sequence[Tensor]) -> dict[str, Any]:
    count = len(columns.sparse_keys)
    indices, values, shapes = (outputs[i * count : (i + 1) * count] for i in range(3))
    sparse = [SparseTensor(*parts) for parts in zip(indices, values, shapes, strict=True)]
    keys = [*columns.sparse_keys, *columns.dense_keys]
    return dict(zip(keys, [*sparse, *outputs[3 * count :]], strict=True))


def scalar_input(value: Tensor, name: str) -> Tensor:
    """`value`, which must be a scalar; where that is not known yet, it is checked in the step."""
    if value.shape.rank is None:
        is_scalar = equal(rank(value), 0)
        check = assert_(
            is_scalar, [f"Input {name} must be a scalar"], name=f"{name.capitalize()}IsScalar"
        )
        checked: Tensor = with_dependencies([check], value, name=f"{name}Dependencies")
        checked.set_shape([])
        return checked
    if value.shape.rank:
        raise ValueError(f"Input {name} must be a scalar")
    return value


@export("parse_single_example", "io.parse_single_example")
def parse_single_example(
    serialized: Any,
    features: Mapping[str, Any],
    name: str | None = None,
    example_names: Any = None,
) -> dict[str, Any]:
    """The features of a serialized Example.

    Args:
        serialized: a string scalar.
        features: what to parse, by name: FixedLenFeature, VarLenFeature or
            FixedLenSequenceFeature.
        name: name of the operation.
        example_names: the name of the example, for error messages: a string scalar.

    Returns:
        A dict by name of tensors and SparseTensors. When it runs it raises InvalidArgumentError
        if the example has not what was asked for.

    Raises:
        ValueError: a feature is not well described, or `serialized` is no scalar.
    """
    if not features:
        what = "None" if features is None else "empty"
        raise ValueError(f"Invalid argument: features cannot be {what}.")
    graph = graph_of([serialized, example_names])
    with graph.as_default(), graph.name_scope(name or "ParseSingleExample"):
        one = scalar_input(convert_to_tensor(serialized, name="serialized"), "serialized")
        return parse_example(one, features, name, example_names)
