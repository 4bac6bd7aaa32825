"""What a checkpoint holds of an object: tensors to save, and how they come back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tfsession.graph.create import convert_to_tensor, create_operation
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import identity
from tfsession.ops.shape import reshape
from tfsession.ops.state import assign
from tfsession.ops.variables import Variable, global_variables

_VARIABLE_OPS = ("Variable", "VariableV2", "AutoReloadVariable", "VarHandleOp", "ReadVariableOp")


class SaveSpec:
    """One tensor to save.

    Args:
        tensor: the tensor, or a function that makes it.
        slice_spec: which part of a whole it is, empty for the whole.
        name: its key in the checkpoint.
        dtype: of the tensor; needed for a function.
        device: where it lies; needed for a function.
    """

    def __init__(
        self,
        tensor: Any,
        slice_spec: str,
        name: str,
        dtype: Any = None,
        device: str | None = None,
    ) -> None:
        self._tensor = tensor
        self.slice_spec = slice_spec
        self.name = name
        makes = callable(tensor)
        if makes and (dtype is None or device is None):
            raise AssertionError(
                "When passing a callable `tensor` to a SaveSpec, an explicit dtype and device must "
                "be provided."
            )
        self.dtype = tensor.dtype if dtype is None else dtype
        self.device = tensor.device if device is None else device

    @property
    def tensor(self) -> Any:
        """The tensor to save."""
        return self._tensor() if callable(self._tensor) else self._tensor


class SaveableObject:
    """An object that a Saver saves; a subclass says how its tensors are restored.

    Args:
        op: the operation or variable that stands for it: no two savables share one.
        specs: its tensors.
        name: of the object.
    """

    def __init__(self, op: Any, specs: Sequence[SaveSpec], name: str) -> None:
        self.op = op
        self.specs = specs
        self.name = name

    @property
    def device(self) -> str:
        """Where its first tensor lies."""
        return self.specs[0].device

    def restore(self, restored_tensors: Sequence[Any], restored_shapes: Any) -> Any:
        """An operation that gives the object the tensors of a checkpoint.

        Args:
            restored_tensors: in the order of `specs`.
            restored_shapes: shapes to give them first, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} does not say how it is restored")


class _ReferenceSaveable(SaveableObject):
    """A reference variable, or a slice of a partitioned one."""

    def __init__(self, variable: Any, slice_spec: str, name: str) -> None:
        tensor = variable._ref() if isinstance(variable, Variable) else variable
        if slice_spec:
            tensor = convert_to_tensor(variable)
        spec = SaveSpec(tensor, slice_spec, name, variable.dtype.base_dtype, variable.device)
        super().__init__(variable, [spec], name)

    def restore(self, restored_tensors: Sequence[Any], restored_shapes: Any) -> Any:
        value = restored_tensors[0]
        if restored_shapes is not None:
            value = reshape(value, restored_shapes[0])
        is_known = self.op.get_shape().is_fully_defined()
        return assign(self.op, value, validate_shape=restored_shapes is None and is_known)


class _ResourceSaveable(SaveableObject):
    """A resource variable, or a slice of a partitioned one."""

    def __init__(self, variable: Any, slice_spec: str, name: str) -> None:
        if isinstance(variable, Variable):
            self._handle, tensor = variable.handle, variable._as_graph_element()
        else:
            self._handle, tensor = variable.op.inputs[0], variable
        self._shape = variable.shape
        spec = SaveSpec(tensor, slice_spec, name, tensor.dtype.base_dtype, self._handle.device)
        super().__init__(self._handle.op, [spec], name)

    def restore(self, restored_tensors: Sequence[Any], restored_shapes: Any) -> Any:
        value = restored_tensors[0]
        if restored_shapes is not None:
            value = reshape(value, restored_shapes[0])
        with get_default_graph().device(self._handle.device):
            value = identity(value)
        self._shape.assert_is_compatible_with(value.shape)
        return create_operation("AssignVariableOp", [self._handle, value])


def _saveable(variable: Any, slice_spec: str, name: str) -> SaveableObject:
    if isinstance(variable, Variable):
        element = variable._as_graph_element()
    else:
        element = variable = convert_to_tensor(variable)
    if not _is_variable(element):
        raise TypeError(
            "names_to_saveables must be a dict mapping string names to Tensors/Variables. Not a "
            f"variable: {variable}"
        )
    kind = _ReferenceSaveable if element.dtype.is_ref else _ResourceSaveable
    return kind(variable, slice_spec, name)


def _is_variable(element: Any) -> bool:
    return isinstance(element, Tensor) and element.op.type in _VARIABLE_OPS


def all_saveable_objects() -> list[Any]:
    """What a Saver saves by default: global variables, and what was collected beside them."""
    graph = get_default_graph()
    return [*global_variables(), *graph.get_collection(GraphKeys.SAVEABLE_OBJECTS)]


def saveables_by_name(objects: Iterable[Any]) -> dict[str, Any]:
    """Objects by the name under which a checkpoint holds them; slices of one whole in a list.

    Raises:
        TypeError: one of them cannot be saved.
        ValueError: two have the same name.
    """
    if not isinstance(objects, list | tuple | set | frozenset):
        raise TypeError(f"Variables to save should be passed in a dict or a list. Got {objects}")
    named: dict[str, Any] = {}
    for item in sorted(_flat(objects), key=lambda one: one.name):
        info = getattr(item, "_save_slice_info", None)
        if isinstance(item, SaveableObject):
            name = item.name
        elif info is not None:
            slices = named.setdefault(info.full_name, [])
            if not isinstance(slices, list):
                raise ValueError(
                    f"Mixing slices and non-slices with the same name: {info.full_name}"
                )
            slices.append(item)
            continue
        else:
            name = _variable_name(item)
        if name in named:
            raise ValueError(f"At least two variables have the same name: {name}")
        named[name] = item
    return named


def _flat(objects: Iterable[Any]) -> Iterable[Any]:
    """With the slices of partitioned variables instead of these."""
    for item in objects:
        if hasattr(item, "_get_variable_list"):
            yield from item._get_variable_list()
        else:
            yield item


def _variable_name(item: Any) -> str:
    element = item._as_graph_element() if isinstance(item, Variable) else item
    if not _is_variable(element):
        raise TypeError(f"Variable to save is not a Variable: {item}")
    name: str = item.op.name
    if not isinstance(item, Variable) and element.op.type == "ReadVariableOp":
        name = element.op.inputs[0].op.name
    return name


def saveables_of(named: Mapping[str, Any]) -> list[SaveableObject]:
    """The savables of objects by name, in the order of their names.

    Raises:
        TypeError: a name is no text, or an object cannot be saved.
        ValueError: slices do not belong together, or one object has two names.
    """
    found: list[SaveableObject] = []
    for name in sorted(named, key=str):
        if not isinstance(name, str):
            raise TypeError(
                "names_to_saveables must be a dict mapping string names to trackable operations. "
                f"Name is not a string: {name}"
            )
        found += _saveables_for(named[name], name)
    seen = set()
    for saveable in found:
        if saveable.op in seen:
            raise ValueError(f"The same saveable will be restored with two names: {saveable.name}")
        seen.add(saveable.op)
    return found


def _saveables_for(item: Any, name: str) -> list[SaveableObject]:
    if isinstance(item, SaveableObject):
        return [item]
    if hasattr(item, "_get_variable_list"):
        item = item._get_variable_list()
    if not isinstance(item, list | tuple):
        return [_saveable(item, "", name)]
    found, whole = [], None
    for variable in item:
        if not isinstance(variable, Variable):
            raise ValueError(f"Slices must all be Variables: {variable}")
        info = variable._save_slice_info
        if info is None:
            raise ValueError(f"Slices must all be slices: {variable}")
        if whole not in (None, info.full_name):
            raise ValueError(
                f"Slices must all be from the same tensor: {whole} != {info.full_name}"
            )
        whole = info.full_name
        found.append(_saveable(variable, info.spec, name))
    return found
