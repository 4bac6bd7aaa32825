"""From a builder's arguments to an operation: conversion, attribute inference, checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core import op_def as op_def_lib
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.op_def import NO_DEFAULT, ArgDef, AttrDef, OpDef
from tfsession.core.shape import to_shape
from tfsession.graph.build import build_operation
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

ConversionFunction = Callable[..., Any]
_conversions: list[tuple[int, int, tuple[type, ...], ConversionFunction]] = []
_conversion_cache: dict[type, list[ConversionFunction]] = {}


def register_tensor_conversion_function(
    base_type: type | tuple[type, ...], conversion_func: ConversionFunction, priority: int = 100
) -> None:
    """Let `conversion_func(value, dtype, name, as_ref)` turn objects of a type into tensors.

    Lower priorities are tried first; a function returns NotImplemented to pass.
    """
    types = base_type if isinstance(base_type, tuple) else (base_type,)
    if not all(isinstance(t, type) for t in types):
        raise TypeError("base_type must be a type or a tuple of types.")
    if not callable(conversion_func):
        raise TypeError("conversion_func must be callable.")
    _conversions.append((priority, len(_conversions), types, conversion_func))
    _conversions.sort(key=lambda entry: entry[:2])
    _conversion_cache.clear()


def _conversions_of(cls: type) -> list[ConversionFunction]:
    found = _conversion_cache.get(cls)
    if found is None:
        found = [function for _, _, types, function in _conversions if issubclass(cls, types)]
        _conversion_cache[cls] = found
    return found


def convert_to_tensor(
    value: Any,
    dtype: Any = None,
    name: str | None = None,
    preferred_dtype: Any = None,
    dtype_hint: Any = None,
    as_ref: bool = False,
) -> Tensor:
    """A Tensor for `value`: a Tensor, Variable, NumPy array, Python number, string or nested list.

    Args:
        value: what to convert; Python values become constants of the default graph.
        dtype: the dtype to have; None infers it.
        name: name of the constant that is made, if one is.
        preferred_dtype: dtype tried first when `dtype` is None.
        dtype_hint: the same as `preferred_dtype`.
        as_ref: give the reference of a reference variable.

    Raises:
        TypeError: no conversion is known, or the value does not fit `dtype`.
        ValueError: `value` is a Tensor of another dtype.
    """
    wanted = None if dtype is None else as_dtype(dtype)
    if isinstance(value, Tensor):
        if wanted is not None and value.dtype.base_dtype is not wanted.base_dtype:
            raise ValueError(
                f"Tensor conversion requested dtype {wanted.name} for Tensor with dtype "
                f"{value.dtype.name}: {value!r}"
            )
        return value
    hint = preferred_dtype if preferred_dtype is not None else dtype_hint
    if wanted is None and hint is not None:
        try:
            return _convert(value, as_dtype(hint), name, as_ref)
        except (TypeError, ValueError):
            pass
    return _convert(value, wanted, name, as_ref)


def _convert(value: Any, dtype: DType | None, name: str | None, as_ref: bool) -> Tensor:
    for function in _conversions_of(type(value)):
        result = function(value, dtype=dtype, name=name, as_ref=as_ref)
        if result is not NotImplemented:
            if dtype is not None and not dtype.is_compatible_with(result.dtype.base_dtype):
                raise ValueError(
                    f"Tensor conversion requested dtype {dtype.name} for Tensor with dtype "
                    f"{result.dtype.name}: {result!r}"
                )
            return result  # type: ignore[no-any-return]
    raise TypeError(
        f"Cannot convert {value!r} with type {type(value)} to Tensor: no conversion function "
        "registered."
    )


def create_op(
    op_type: str,
    inputs: Sequence[Any] = (),
    attrs: dict[str, Any] | None = None,
    name: str | None = None,
) -> Any:
    """Add an operation and give its output Tensor, its outputs as a tuple, or itself if it has none.

    Type and length attributes follow from the inputs; `attrs` holds the rest, None meaning default.
    """
    op = create_operation(op_type, inputs, attrs, name)
    outputs = op.outputs
    if len(outputs) == 1 and not op.op_def.outputs[0].is_sequence:
        return outputs[0]
    return _grouped_outputs(op) if outputs or op.op_def.outputs else op


def _grouped_outputs(op: Operation) -> Any:
    """Outputs one by one, list-valued arguments as lists; a single argument stands alone."""
    groups: list[Any] = []
    start = 0
    for arg in op.op_def.outputs:
        if not arg.is_sequence:
            groups.append(op.outputs[start])
            start += 1
            continue
        key = arg.number_attr or arg.type_list_attr
        value = op.attrs[key]
        length = value if arg.number_attr else len(value)
        groups.append(op.outputs[start : start + length])
        start += length
    return groups[0] if len(groups) == 1 else tuple(groups)


def create_operation(
    op_type: str,
    inputs: Sequence[Any] = (),
    attrs: dict[str, Any] | None = None,
    name: str | None = None,
) -> Operation:
    """Add an operation; as `create_op`, but gives the Operation whatever it puts out."""
    op_def = op_def_lib.ops[op_type]
    if op_def.is_plain and attrs is None and all(type(value) is Tensor for value in inputs):
        values = tuple(inputs)
        types = _types_of_plain_inputs(op_def, values)
        if types is not None:
            graph = values[0].op.graph if values else get_default_graph()
            for tensor in values:
                if tensor.op.graph is not graph:
                    raise _mixed_graphs(values[0], tensor)
            unique = _operation_name(graph, name or op_type)
            return build_operation(graph, op_def, unique, values, types)
    return _create_converting(op_def, inputs, attrs or {}, name or op_type)


def _operation_name(graph: Graph, name: str) -> str:
    if name.endswith("/"):
        name = name[:-1]
        graph._check_name(name)
        return name
    if not name.isidentifier():
        graph._check_name(name)
    elif name[0] == "_" and not graph._scopes.name_prefix:
        graph._check_name(name)
    return graph.unique_name(name)


def _types_of_plain_inputs(op_def: OpDef, values: tuple[Tensor, ...]) -> dict[str, Any] | None:
    """All attributes of an op whose inputs are tensors already; None if anything is amiss."""
    if len(values) != len(op_def.inputs):
        return None
    types = dict(op_def.defaults)
    seen: set[str] = set()
    for arg, tensor in zip(op_def.inputs, values, strict=True):
        dtype = tensor.dtype.base_dtype
        attr = arg.type_attr
        if attr is None:
            if dtype is not arg.type:
                return None
        elif attr in seen:
            if types[attr] is not dtype:
                return None
        else:
            allowed = op_def.attrs[attr].allowed
            if allowed is not None and dtype not in allowed:
                return None
            types[attr] = dtype
            seen.add(attr)
    return types if len(types) == len(op_def.attrs) else None


def _mixed_graphs(first: Tensor, other: Tensor) -> ValueError:
    return ValueError(
        f"{other!r} must be from the same graph as {first!r} (graphs are {other.graph} and {first.graph})."
    )


def graph_of(values: Any) -> Graph:
    """The graph of the first tensor among (nested lists of) values, else the default graph."""
    first = None
    for value in _flatten(values):
        if isinstance(value, Tensor | Operation) or getattr(value, "graph", None) is not None:
            graph = value.graph
            if first is None:
                first = value
            elif graph is not first.graph:
                raise _mixed_graphs(first, value)
    return get_default_graph() if first is None else first.graph


def _flatten(values: Any) -> list[Any]:
    flat = []
    for value in values:
        if isinstance(value, list | tuple):
            flat.extend(_flatten(value))
        else:
            flat.append(value)
    return flat


def _create_converting(
    op_def: OpDef, inputs: Sequence[Any], attrs: dict[str, Any], name: str
) -> Operation:
    graph = graph_of(inputs)
    scopes = graph._scopes
    unique = _operation_name(graph, name)
    previous, scopes.name_prefix = scopes.name_prefix, unique + "/"
    try:
        with graph.as_default():
            binding = _Binding(op_def, attrs)
            tensors = binding.bind(inputs)
            for tensor in tensors:
                if tensor.op.graph is not graph:
                    raise _mixed_graphs(tensors[0], tensor)
    finally:
        scopes.name_prefix = previous
    return build_operation(graph, op_def, unique, tuple(tensors), binding.all_attrs())


class _Binding:
    """Inputs and attributes of one operation as they become known, in order of definition."""

    def __init__(self, op_def: OpDef, given: dict[str, Any]) -> None:
        self.op_def = op_def
        self.known: dict[str, Any] = {}
        self.inferred_from: dict[str, str] = {}
        for name, value in given.items():
            if name not in op_def.attrs:
                if name.startswith("_"):
                    self.known[name] = value
                    continue
                raise TypeError(f"{op_def.name} got an unexpected attribute {name!r}")
            if value is not None or op_def.attrs[name].type == "shape":
                self.known[name] = check_attr(op_def, op_def.attrs[name], value)

    def bind(self, inputs: Sequence[Any]) -> list[Tensor]:
        if len(inputs) != len(self.op_def.inputs):
            raise TypeError(
                f"{self.op_def.name} takes {len(self.op_def.inputs)} inputs, not {len(inputs)}"
            )
        tensors: list[Tensor] = []
        for arg, value in zip(self.op_def.inputs, inputs, strict=True):
            if arg.is_sequence:
                tensors.extend(self._bind_sequence(arg, value))
            else:
                tensors.append(self._bind_single(arg, value))
        return tensors

    def _bind_single(self, arg: ArgDef, value: Any) -> Tensor:
        dtype = arg.type if arg.type_attr is None else self.known.get(arg.type_attr)
        tensor = self._convert(arg, value, dtype)
        base = tensor.dtype.base_dtype
        if dtype is not None and base is not dtype:
            raise self._mismatch(arg, tensor.dtype.name)
        if arg.is_ref and not tensor.dtype.is_ref:
            raise TypeError(
                f"'{self.op_def.name}' Op requires that input '{arg.name}' be a mutable tensor "
                "(e.g.: a tf.Variable)"
            )
        if dtype is None and arg.type_attr is not None:
            self._infer_type(arg, arg.type_attr, base)
        return tensor

    def _infer_type(self, arg: ArgDef, attr: str, dtype: DType) -> None:
        self._check_allowed(arg, attr, dtype)
        self.known[attr] = dtype
        self.inferred_from[attr] = arg.name

    def _check_allowed(self, arg: ArgDef, attr: str, dtype: DType) -> None:
        allowed = self.op_def.attrs[attr].allowed
        if allowed is not None and dtype not in allowed:
            names = ", ".join(sorted(t.name for t in allowed if isinstance(t, DType)))
            raise TypeError(
                f"Value passed to parameter '{arg.name}' has DataType {dtype.name} not in list of "
                f"allowed values: {names}"
            )

    def _default_type(self, arg: ArgDef) -> DType | None:
        """The dtype to try for a Python value whose type attribute nothing has fixed yet."""
        if arg.type_attr is None:
            return None
        default = self.op_def.attrs[arg.type_attr].default
        return default if isinstance(default, DType) else None

    def _convert(self, arg: ArgDef, value: Any, dtype: DType | None) -> Tensor:
        if isinstance(value, Tensor):
            return value
        try:
            return convert_to_tensor(
                value,
                dtype,
                name=arg.name,
                preferred_dtype=self._default_type(arg),
                as_ref=arg.is_ref,
            )
        except TypeError as error:
            if dtype is None:
                raise
            raise TypeError(
                f"Expected {dtype.name} passed to parameter '{arg.name}' of op '{self.op_def.name}', "
                f"got {value!r} of type '{type(value).__name__}' instead. Error: {error}"
            ) from None
        except ValueError as error:
            try:
                observed = convert_to_tensor(value, as_ref=arg.is_ref).dtype.name
            except ValueError:
                raise ValueError(
                    f"Tried to convert '{arg.name}' to a tensor and failed. Error: {error}"
                ) from None
            raise self._mismatch(arg, observed) from None

    def _mismatch(self, arg: ArgDef, observed: str) -> TypeError:
        text = (
            f"Input '{arg.name}' of '{self.op_def.name}' Op has type {observed} that does not match"
        )
        if arg.type is not None:
            return TypeError(f"{text} expected type of {arg.type.name}.")
        assert arg.type_attr is not None
        expected = self.known[arg.type_attr].name
        source = self.inferred_from.get(arg.type_attr)
        if source is None:
            return TypeError(f"{text} type {expected} of attribute '{arg.type_attr}'.")
        return TypeError(f"{text} type {expected} of argument '{source}'.")

    def _bind_sequence(self, arg: ArgDef, values: Any) -> list[Tensor]:
        if not isinstance(values, list | tuple):
            raise TypeError(
                f"Expected list for '{arg.name}' argument to '{self.op_def.name}' Op, not {values}."
            )
        if arg.type_list_attr is not None:
            return self._bind_type_list(arg, arg.type_list_attr, values)
        assert arg.number_attr is not None
        self._check_length(arg, arg.number_attr, len(values))
        dtype = arg.type if arg.type_attr is None else self.known.get(arg.type_attr)
        if dtype is None:
            dtype = next((v.dtype.base_dtype for v in values if getattr(v, "dtype", None) is not None
                          and isinstance(v.dtype, DType)), None)  # fmt: skip
        tensors = self._convert_all(arg, values, dtype)
        if arg.type_attr is not None and arg.type_attr not in self.known and tensors:
            self._infer_type(arg, arg.type_attr, tensors[0].dtype.base_dtype)
        return tensors

    def _convert_all(self, arg: ArgDef, values: Sequence[Any], dtype: DType | None) -> list[Tensor]:
        tensors = []
        for index, value in enumerate(values):
            try:
                tensor = convert_to_tensor(
                    value, dtype, f"{arg.name}_{index}", self._default_type(arg), as_ref=arg.is_ref
                )
            except (TypeError, ValueError):
                raise self._bad_list(arg, values, dtype) from None
            dtype = dtype or tensor.dtype.base_dtype
            tensors.append(tensor)
        return tensors

    def _bad_list(self, arg: ArgDef, values: Sequence[Any], dtype: DType | None) -> TypeError:
        observed = []
        for value in values:
            try:
                observed.append(convert_to_tensor(value).dtype.base_dtype.name)
            except (TypeError, ValueError):
                observed.append("<NOT CONVERTIBLE TO TENSOR>")
        text = (
            f"Tensors in list passed to '{arg.name}' of '{self.op_def.name}' Op have types "
            f"[{', '.join(observed)}]"
        )
        if arg.type is not None:
            return TypeError(f"{text} that do not match expected type {arg.type.name}.")
        attr = arg.type_attr
        if attr in self.known and attr in self.inferred_from:
            expected, source = self.known[attr].name, self.inferred_from[attr]
            return (
                TypeError(
                    f"{text} that do not match type {expected} inferred from earlier arguments."
                )
                if not source
                else TypeError(
                    f"{text} that do not match type {expected} inferred from earlier arguments."
                )
            )
        return TypeError(f"{text} that don't all match.")

    def _check_length(self, arg: ArgDef, attr: str, length: int) -> None:
        known = self.known.get(attr)
        if known is not None and known != length:
            raise ValueError(
                f"List argument '{arg.name}' to '{self.op_def.name}' Op with length {length} must "
                f"match length {known} of argument '{self.inferred_from.get(attr, attr)}'."
            )
        minimum = self.op_def.attrs[attr].minimum or 0
        if length < minimum:
            raise ValueError(
                f"List argument '{arg.name}' to '{self.op_def.name}' Op with length {length} "
                f"shorter than minimum length {minimum}."
            )
        self.known[attr] = length
        self.inferred_from.setdefault(attr, arg.name)

    def _bind_type_list(self, arg: ArgDef, attr: str, values: Sequence[Any]) -> list[Tensor]:
        wanted = self.known.get(attr)
        if wanted is not None and len(wanted) != len(values):
            raise ValueError(
                f"List argument '{arg.name}' to '{self.op_def.name}' Op with length {len(values)} "
                f"must have the length {len(wanted)} of attribute '{attr}'."
            )
        types = wanted or [None] * len(values)
        tensors = [
            convert_to_tensor(value, dtype, f"{arg.name}_{i}", as_ref=arg.is_ref)
            for i, (value, dtype) in enumerate(zip(values, types, strict=True))
        ]
        self.known[attr] = [tensor.dtype.base_dtype for tensor in tensors]
        self.inferred_from.setdefault(attr, arg.name)
        minimum = self.op_def.attrs[attr].minimum or 0
        if len(tensors) < minimum:
            raise ValueError(
                f"List argument '{arg.name}' to '{self.op_def.name}' Op with length {len(tensors)} "
                f"shorter than minimum length {minimum}."
            )
        return tensors

    def all_attrs(self) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, attr in self.op_def.attrs.items():
            if name in self.known:
                result[name] = self.known.pop(name)
            elif attr.default is not NO_DEFAULT:
                result[name] = attr.default
            else:
                raise TypeError(f"No argument for attr {name} of op {self.op_def.name}")
        result.update(self.known)
        return result


def check_attr(op_def: OpDef, attr: AttrDef, value: Any) -> Any:
    """`value` as the attribute's Python form; raises TypeError or ValueError when it is none."""
    if attr.type.startswith("list("):
        if not isinstance(value, list | tuple):
            raise TypeError(
                f"Expected list for attr {attr.name}, obtained {type(value).__name__} instead."
            )
        values = [_attr_form(attr.type[5:-1], item, attr.name) for item in value]
        if attr.minimum is not None and len(values) < attr.minimum:
            raise ValueError(
                f"Attr '{attr.name}' of '{op_def.name}' Op passed list of length {len(values)} less "
                f"than minimum {attr.minimum}."
            )
    else:
        values = [_attr_form(attr.type, value, attr.name)]
        if attr.minimum is not None and values[0] < attr.minimum:
            raise ValueError(
                f"Attr '{attr.name}' of '{op_def.name}' Op passed {values[0]} less than minimum "
                f"{attr.minimum}."
            )
    if attr.allowed is not None:
        for item in values:
            if item not in attr.allowed:
                raise _not_allowed(op_def, attr, item)
    return values if attr.type.startswith("list(") else values[0]


def _not_allowed(op_def: OpDef, attr: AttrDef, value: Any) -> Exception:
    assert attr.allowed is not None
    if isinstance(value, bytes):
        names = '", "'.join(sorted(v.decode() for v in attr.allowed if isinstance(v, bytes)))
        return ValueError(
            f"Value for attr '{attr.name}' of \"{value.decode()}\" is not in the list of allowed "
            f'values: "{names}"'
        )
    types = ", ".join(sorted(v.name for v in attr.allowed if isinstance(v, DType)))
    return TypeError(
        f"Value passed to parameter '{attr.name}' has DataType {value.name} not in list of allowed "
        f"values: {types}"
    )


def _attr_form(kind: str, value: Any, name: str) -> Any:
    match kind:
        case "int":
            if isinstance(value, str):
                raise TypeError(f"Expected int for argument '{name}' not {value!r}.")
            try:
                return int(value)
            except (ValueError, TypeError):
                raise TypeError(f"Expected int for argument '{name}' not {value!r}.") from None
        case "float":
            if isinstance(value, str):
                raise TypeError(f"Expected float for argument '{name}' not {value!r}.")
            try:
                return float(value)
            except (ValueError, TypeError):
                raise TypeError(f"Expected float for argument '{name}' not {value!r}.") from None
        case "bool":
            if isinstance(value, bool | np.bool_):
                return bool(value)
            raise TypeError(f"Expected bool for argument '{name}' not {value!r}.")
        case "string":
            if isinstance(value, bytes | str):
                return value if isinstance(value, bytes) else value.encode()
            raise TypeError(f"Expected string for argument '{name}' not {value!r}.")
        case "type":
            try:
                return as_dtype(value).base_dtype
            except TypeError as error:
                raise TypeError(
                    f"Expected DataType for argument '{name}' not {value!r}."
                ) from error
        case "shape":
            return to_shape(value)
    return value
