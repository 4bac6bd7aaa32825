"""Slots: variables that stand beside another one, such as the moments of an optimizer."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from tfsession.graph.graph import get_default_graph
from tfsession.ops.constant import zeros
from tfsession.ops.initializers import Zeros
from tfsession.ops.resource_variable import ResourceVariable
from tfsession.ops.save_slice_info import SaveSliceInfo
from tfsession.ops.shape import shape as shape_of
from tfsession.ops.variable_scope import get_variable, get_variable_scope, variable_scope
from tfsession.ops.variables import Variable


def is_resource(variable: Any) -> bool:
    """Whether a variable is behind a handle."""
    return isinstance(variable, ResourceVariable)


def create_slot(
    primary: Any,
    initial: Any,
    name: str,
    *,
    shape: Any = None,
    dtype: Any = None,
    colocate: bool = True,
) -> Any:
    """A variable named `<primary>/<name>`, not trainable.

    Args:
        primary: a variable or a tensor.
        initial: a tensor, or an initializer for `shape` and `dtype`.
        name: the last part of its name.
        shape: its shape, where `initial` is an initializer.
        dtype: its dtype, likewise.
        colocate: place it where `primary` is.
    """
    graph = get_default_graph()
    known = (initial if shape is None else primary).shape.is_fully_defined()
    kind = is_resource(primary) if isinstance(primary, Variable) else None
    with variable_scope(None, f"{primary.op.name}/{name}"):
        get_variable_scope().set_partitioner(None)
        with graph.colocate_with(primary.op) if colocate else nullcontext():
            slot = get_variable(
                "",
                shape=shape,
                dtype=dtype,
                initializer=initial,
                trainable=False,
                use_resource=kind,
                validate_shape=known,
            )
    info = getattr(primary, "_save_slice_info", None)
    if info is not None:
        # The slots of slices are slices of a slot.
        rank, last = slot.shape.ndims, slot.op.name.removeprefix(f"{primary.op.name}/")
        sizes = (info.full_shape[:rank], info.var_offset[:rank], info.var_shape[:rank])
        slot._set_save_slice_info(SaveSliceInfo(f"{info.full_name}/{last}", *sizes))
    return slot


def create_zeros_slot(primary: Any, name: str, dtype: Any = None, colocate: bool = True) -> Any:
    """A slot of zeros, of the shape of `primary`."""
    dtype = (dtype or primary.dtype).base_dtype
    if primary.shape.is_fully_defined() or isinstance(primary, Variable):
        return create_slot(
            primary, Zeros(), name, shape=primary.shape, dtype=dtype, colocate=colocate
        )
    return create_slot(primary, zeros(shape_of(primary), dtype), name, colocate=colocate)
