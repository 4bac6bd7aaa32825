"""A variable that is kept in several: `get_variable` with a partitioner makes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.shape import TensorShape
from tfsession.graph.create import register_tensor_conversion_function
from tfsession.graph.default_graph import control_dependencies, name_scope
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity
from tfsession.ops.join import concat, split


class PartitionedVariable:
    """Variables that are slices of one along one dimension; used as a tensor, it is the whole.

    Args:
        name: of the whole.
        shape: of the whole.
        dtype: of all slices.
        variable_list: the slices in order, each with its slice info.
        partitions: how many slices there are along each dimension.

    Raises:
        TypeError: the slices or `partitions` are not in a list or tuple.
        ValueError: there are none, or they do not belong to such a whole.
    """

    def __init__(
        self,
        name: str,
        shape: Any,
        dtype: Any,
        variable_list: Sequence[Any],
        partitions: Sequence[int],
    ) -> None:
        if not isinstance(variable_list, list | tuple):
            raise TypeError(f"variable_list is not a list or tuple: {variable_list}")
        if not isinstance(partitions, list | tuple):
            raise TypeError(f"partitions is not a list or tuple: {partitions}")
        if not all(p >= 1 for p in partitions):
            raise ValueError(f"partition values must be positive: {partitions}")
        if not variable_list:
            raise ValueError("variable_list may not be empty")
        self._shape = TensorShape(shape)
        sizes = self._shape.as_list()
        for variable in variable_list:
            info = variable._save_slice_info
            if info is None:
                raise ValueError(
                    f"All variables must have a save_slice_info available: {variable.name}"
                )
            if len(sizes) != len(partitions):
                raise ValueError(f"len(shape) != len(partitions): {sizes} vs. {partitions}")
            if list(info.full_shape) != sizes:
                raise ValueError(
                    f"All variables' full shapes must match shape: {sizes}; but full shapes were: "
                    f"{[v._save_slice_info.full_shape for v in variable_list]}"
                )
        self._variable_list = sorted(variable_list, key=lambda v: v._save_slice_info.var_offset)
        self._partitions = partitions
        self._name = name
        self._dtype: DType = as_dtype(dtype)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._variable_list)

    def __len__(self) -> int:
        axes = self._partition_axes()
        if len(axes) > 1:
            raise ValueError(f"Cannot get a length for {len(axes)} > 1 partition axes")
        return len(self._variable_list)

    def __repr__(self) -> str:
        return f"<tf.PartitionedVariable '{self._name}' shape={self._shape} of {len(self)} slices>"

    def _partition_axes(self) -> list[int]:
        return [i for i, count in enumerate(self._partitions) if count > 1] or [0]

    def _axis(self) -> int:
        axes = self._partition_axes()
        if len(axes) > 1:
            raise NotImplementedError(
                f"Cannot concatenate along more than one dimension: {axes}. Multi-axis partition "
                "concat is not supported"
            )
        return axes[0]

    @property
    def name(self) -> str:
        """The name of the whole."""
        return self._name

    @property
    def dtype(self) -> DType:
        """The dtype of all slices."""
        return self._dtype

    @property
    def shape(self) -> TensorShape:
        """The shape of the whole."""
        return self._shape

    def get_shape(self) -> TensorShape:
        """The shape of the whole."""
        return self._shape

    def _get_variable_list(self) -> list[Any]:
        return self._variable_list

    def _get_partitions(self) -> Sequence[int]:
        return self._partitions

    def as_tensor(self) -> Tensor:
        """The whole; it waits for nothing that the scope around asks for, as reading a variable."""
        axis = self._axis()
        with control_dependencies(None):
            whole = self._variable_list[0]
            if len(self._variable_list) > 1:
                with name_scope(self._name + "/ConcatPartitions/"):
                    whole = concat(self._variable_list, axis)
            with name_scope(None):
                return identity(whole, name=self._name)

    def assign(
        self, value: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> list[Any]:
        """Assign to each slice: of a whole value, or its own of a list. The values, or the ops."""
        return self._update("assign", value, use_locking, name, read_value)

    def assign_add(
        self, value: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> list[Any]:
        """Add to each slice, as `assign`."""
        return self._update("assign_add", value, use_locking, name, read_value)

    def assign_sub(
        self, value: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> list[Any]:
        """Subtract from each slice, as `assign`."""
        return self._update("assign_sub", value, use_locking, name, read_value)

    def _update(
        self, method: str, value: Any, use_locking: bool, name: Any, read_value: bool
    ) -> list[Any]:
        axis = self._axis()
        if isinstance(value, PartitionedVariable):
            value = list(value)
        if not isinstance(value, list):
            sizes = [variable.shape.as_list()[axis] for variable in self._variable_list]
            value = split(value, sizes, axis=axis)
        if len(value) != len(self._variable_list):
            raise ValueError(
                f"{len(value)} values for the {len(self._variable_list)} slices of {self._name}"
            )
        updates = [
            getattr(variable, method)(
                part, use_locking=use_locking, name=name, read_value=read_value
            )
            for variable, part in zip(self._variable_list, value, strict=True)
        ]
        return updates if read_value else [getattr(update, "op", update) for update in updates]


def _convert(
    variable: PartitionedVariable, dtype: Any = None, name: Any = None, as_ref: bool = False
) -> Tensor:
    if dtype is not None and not as_dtype(dtype).is_compatible_with(variable.dtype):
        raise ValueError(
            f"Incompatible type conversion requested to type '{as_dtype(dtype).name}' for variable "
            f"of type '{variable.dtype.name}'"
        )
    if as_ref:
        raise NotImplementedError("PartitionedVariable doesn't support being used as a reference.")
    return variable.as_tensor()


register_tensor_conversion_function(PartitionedVariable, _convert)
