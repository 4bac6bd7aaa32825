"""The inputs and attributes of one operation, as a builder gives them, made fit for its op."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.op_def import NO_DEFAULT, ArgDef, OpDef
from tfsession.graph.attr_forms import check_attr, not_allowed
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.tensor import Tensor


class Binding:
    """Inputs and attributes of one operation as they become known, in order of definition."""

    def __init__(self, op_def: OpDef, given: dict[str, Any]) -> None:
        self.op_def = op_def
        self.known: dict[str, Any] = {}
        self.inferred_from: dict[str, str] = {}
        self.given = given
        for name, value in given.items():
            if name not in op_def.attrs:
                if name.startswith("_"):
                    self.known[name] = value
                    continue
                raise TypeError(f"{op_def.name} got unexpected keyword arguments: {name}.")
            if value is not None or op_def.attrs[name].type == "shape":
                self.known[name] = check_attr(op_def, op_def.attrs[name], value)

    def bind(self, inputs: Sequence[Any]) -> list[Tensor]:
        """The tensors of the inputs, lists laid out flat; raises TypeError or ValueError."""
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
        definition = self.op_def.attrs[attr]
        if definition.allowed is not None and dtype not in definition.allowed:
            raise not_allowed(self.op_def, definition, dtype, arg.name)
        self.known[attr] = dtype
        self.inferred_from[attr] = arg.name

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
            if dtype is None and (default := self._default_type(arg)) is not None:
                return self._convert_with_default(arg, value, default)
            return convert_to_tensor(value, dtype, name=arg.name, as_ref=arg.is_ref)
        except TypeError as error:
            if dtype is None:
                raise
            raise TypeError(
                f"Expected {dtype.name} passed to parameter '{arg.name}' of op "
                f"'{self.op_def.name}', got {value!r} of type '{type(value).__name__}' instead. "
                f"Error: {error}"
            ) from None
        except ValueError as error:
            try:
                observed = convert_to_tensor(value, as_ref=arg.is_ref).dtype.name
            except ValueError:
                raise ValueError(
                    f"Tried to convert '{arg.name}' to a tensor and failed. Error: {error}"
                ) from None
            raise self._mismatch(arg, observed) from None

    def _convert_with_default(self, arg: ArgDef, value: Any, default: DType) -> Tensor:
        """The default is for values whose own type the op does not take, such as an empty list."""
        allowed = self.op_def.attrs[arg.type_attr or ""].allowed
        if allowed is not None:
            with suppress(TypeError):
                tensor = convert_to_tensor(value, name=arg.name, as_ref=arg.is_ref)
                if tensor.dtype.base_dtype in allowed:
                    return tensor
        return convert_to_tensor(value, name=arg.name, preferred_dtype=default, as_ref=arg.is_ref)

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
            # Python values beside tensors take the tensors' type.
            types = (getattr(value, "dtype", None) for value in values)
            dtype = next((t.base_dtype for t in types if isinstance(t, DType)), None)
        tensors = self._convert_all(arg, values, dtype)
        if arg.type_attr is not None and arg.type_attr not in self.known and tensors:
            self._infer_type(arg, arg.type_attr, tensors[0].dtype.base_dtype)
        return tensors

    def _convert_all(self, arg: ArgDef, values: Sequence[Any], dtype: DType | None) -> list[Tensor]:
        hint = self._default_type(arg)
        try:
            tensors = [
                convert_to_tensor(value, dtype, f"{arg.name}_{i}", hint, as_ref=arg.is_ref)
                for i, value in enumerate(values)
            ]
        except (TypeError, ValueError):
            raise self._bad_list(arg, values) from None
        if len({tensor.dtype.base_dtype for tensor in tensors}) > 1:
            raise self._bad_list(arg, values)
        return tensors

    def _bad_list(self, arg: ArgDef, values: Sequence[Any]) -> TypeError:
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
        if arg.type_list_attr is not None:
            return TypeError(f"{text} that are invalid. Tensors: {values}")
        if arg.type is not None:
            return TypeError(f"{text} that do not match expected type {arg.type.name}.")
        known = self.known.get(arg.type_attr or "")
        if known is not None:
            return TypeError(
                f"{text} that do not match type {known.name} inferred from earlier arguments."
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
        try:
            tensors = [
                convert_to_tensor(value, dtype, f"{arg.name}_{i}", as_ref=arg.is_ref)
                for i, (value, dtype) in enumerate(zip(values, types, strict=True))
            ]
        except (TypeError, ValueError):
            raise self._bad_list(arg, values) from None
        found = [tensor.dtype.base_dtype for tensor in tensors]
        self.known[attr] = check_attr(self.op_def, self.op_def.attrs[attr], found)
        self.inferred_from.setdefault(attr, arg.name)
        return tensors

    def all_attrs(self) -> dict[str, Any]:
        """All attributes, once the inputs are bound; raises TypeError when one is missing."""
        result: dict[str, Any] = {}
        for name, attr in self.op_def.attrs.items():
            if name in self.known:
                result[name] = self.known.pop(name)
            elif attr.default is not NO_DEFAULT:
                result[name] = attr.default
            elif name in self.given:
                check_attr(self.op_def, attr, None)
            else:
                raise TypeError(f"No argument found for attr {name} for {self.op_def.name}")
        result.update(self.known)
        return result
