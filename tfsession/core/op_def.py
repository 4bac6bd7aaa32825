"""What an op is: its inputs, outputs, attributes and shape function, as TensorFlow registers them.

`define_op` keeps the registration strings; they are parsed when the op is first used, so that
defining some hundreds of ops costs nothing at import.
"""

from __future__ import annotations

import ast
import re
from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from tfsession.core import dtypes, late
from tfsession.core.dtypes import DType
from tfsession.core.lazy import lazy
from tfsession.core.rules import Registry, caller_site

T = TypeVar("T")
ShapeFunction = Callable[[Any], Sequence[Any]]

ops: Registry[OpDef] = Registry("op", late.ops)


class _NoDefault:
    def __repr__(self) -> str:
        return "<no default>"


NO_DEFAULT = _NoDefault()

_ARG = re.compile(r"^(\w+)\s*:\s*(Ref\()?\s*(?:(\w+)\s*\*\s*)?(\w+)\s*(\))?$")
_ATTR = re.compile(
    r"^(\w+)\s*:\s*(list\(.*?\)|\{.*?\}|\w+)\s*(?:>=\s*(-?\d+))?\s*(?:=\s*(.*))?$", re.S
)
_ITEM = re.compile(r"'[^']*'|\"[^\"]*\"|\[[^\]]*\]|\{[^}]*\}|[^,\s]+")
_TENSOR = re.compile(r"^(\w+)\s*(.+)$")


def _made(cls: type[T], fields: dict[str, Any]) -> T:
    made = cls.__new__(cls)
    for slot in cls.__slots__:  # type: ignore[attr-defined]
        setattr(made, slot, fields.get(slot))
    return made


class ArgDef:
    """One input or output: a tensor, `number_attr` tensors of one type, or a list of types."""

    __slots__ = ("is_ref", "name", "number_attr", "type", "type_attr", "type_list_attr")

    def __init__(self, text: str, attrs: dict[str, AttrDef]) -> None:
        match = _ARG.match(text)
        if match is None or (match[2] is None) != (match[5] is None):
            raise ValueError(f"Cannot parse the argument definition {text!r}")
        self.name, ref, self.number_attr, kind = match.group(1, 2, 3, 4)
        self.is_ref = ref is not None
        self.type: DType | None = None
        self.type_attr: str | None = None
        self.type_list_attr: str | None = None
        attr = attrs.get(kind)
        if attr is None:
            self.type = dtypes.parse_type_list(kind)[0]
        elif attr.type == "list(type)":
            self.type_list_attr = kind
        else:
            self.type_attr = kind

    @classmethod
    def make(cls, **fields: Any) -> ArgDef:
        """An argument of the given fields; those not given are None or False."""
        return _made(cls, {"is_ref": False, **fields})

    @property
    def is_sequence(self) -> bool:
        """Whether the argument stands for a list of tensors."""
        return self.number_attr is not None or self.type_list_attr is not None


class AttrDef:
    """One attribute: type, least value, allowed values and default.

    `known_types` has what numbers mean that were found to be allowed types.
    """

    __slots__ = ("allowed", "default", "known_types", "minimum", "name", "type")

    def __init__(self, text: str) -> None:
        match = _ATTR.match(text)
        if match is None:
            raise ValueError(f"Cannot parse the attribute definition {text!r}")
        self.name, kind, minimum, default = match.groups()
        self.minimum = int(minimum) if minimum is not None else None
        self.allowed: tuple[DType, ...] | tuple[bytes, ...] | None = None
        self.known_types: dict[int, DType] = {}
        is_list = kind.startswith("list(")
        if is_list:
            kind = kind[5:-1].strip()
        if kind.startswith("{") and "'" in kind:
            self.allowed = tuple(s.encode() for s in re.findall(r"'([^']*)'", kind))
            kind = "string"
        elif kind.startswith("{") or kind in dtypes.TYPE_GROUPS:
            self.allowed = dtypes.parse_type_list(kind)
            kind = "type"
        self.type = f"list({kind})" if is_list else kind
        self.default: Any = NO_DEFAULT if default is None else self._parse_default(default.strip())

    @classmethod
    def make(cls, **fields: Any) -> AttrDef:
        """An attribute of the given fields; those not given are None, the default is none."""
        return _made(cls, {"default": NO_DEFAULT, **fields})

    def _parse_default(self, text: str) -> Any:
        if self.type.startswith("list("):
            kind = self.type[5:-1]
            return [_parse_value(kind, item) for item in _ITEM.findall(text[1:-1])]
        return _parse_value(self.type, text)


def _parse_value(kind: str, text: str) -> Any:
    match kind:
        case "int":
            return int(text)
        case "float":
            return float(np.float32(text))  # as the message has it
        case "bool":
            return {"true": True, "false": False}[text]
        case "string":
            if text[0] in "'\"" and text[0] == text[-1]:
                return text[1:-1].encode()
        case "type":
            return dtypes.as_dtype(text.removeprefix("DT_").lower())
        case "shape":
            if text.startswith("{"):
                return None if "unknown_rank" in text else ()
            return tuple(None if d in ("-1", "?") else int(d) for d in _ITEM.findall(text[1:-1]))
        case "tensor" if match := _TENSOR.match(text):
            values = ast.literal_eval(match[2])
            return np.array(values, dtypes.as_dtype(match[1]).as_numpy_dtype)
    raise ValueError(f"No default of type {kind} can be written as {text!r}")


class OpDef:
    """The definition of an op type, as TensorFlow's OpDef message has it.

    `shape(op)` gives one internal shape (a tuple, or None for an unknown rank) for each output.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[str] = (),
        outputs: Sequence[str] = (),
        attrs: Sequence[str] = (),
        shape: ShapeFunction | None = None,
        *,
        stateful: bool = False,
        commutative: bool = False,
        aggregate: bool = False,
        allows_uninitialized_input: bool = False,
        distributed_communication: bool = False,
        graph_only: bool = False,
    ) -> None:
        self.name = name
        self.shape = shape
        self.is_stateful = stateful
        self.is_commutative = commutative
        self.is_aggregate = aggregate
        self.allows_uninitialized_input = allows_uninitialized_input
        self.is_distributed_communication = distributed_communication
        self.graph_only = graph_only
        # What `graph.create` has found out about inputs of given types.
        self.plans: dict[tuple[int, ...], Any] = {}
        self.texts = (inputs, outputs, attrs)

    @lazy
    def attrs(self) -> dict[str, AttrDef]:
        """The attributes by name, in order of definition."""
        return {attr.name: attr for attr in map(AttrDef, self.texts[2])}

    @lazy
    def inputs(self) -> tuple[ArgDef, ...]:
        """The inputs in order."""
        return tuple(ArgDef(text, self.attrs) for text in self.texts[0])

    @lazy
    def outputs(self) -> tuple[ArgDef, ...]:
        """The outputs in order."""
        return tuple(ArgDef(text, self.attrs) for text in self.texts[1])

    @lazy
    def inferred(self) -> frozenset[str]:
        """Attributes whose values follow from the inputs."""
        names: set[str] = set()
        for arg in self.inputs:
            names.update(n for n in (arg.type_attr, arg.number_attr, arg.type_list_attr) if n)
        return frozenset(names)

    @lazy
    def defaults(self) -> dict[str, Any]:
        """Default values of all attributes that have one."""
        return {a.name: a.default for a in self.attrs.values() if a.default is not NO_DEFAULT}

    @lazy
    def is_plain(self) -> bool:
        """Whether every input is one tensor, and no reference: create_op's fast path takes it."""
        return all(not arg.is_sequence and not arg.is_ref for arg in self.inputs)

    @lazy
    def has_single_output(self) -> bool:
        """Whether there is one output, a tensor."""
        return len(self.outputs) == 1 and not self.outputs[0].is_sequence

    @lazy
    def outputs_tuple(self) -> Any:
        """The class that holds several outputs: a namedtuple of the op's name."""
        fields = [arg.name for arg in self.outputs]
        return namedtuple(re.sub(r"\W", "_", self.name), fields, rename=True)

    def __repr__(self) -> str:
        return f"<OpDef {self.name}>"


def define_op(
    name: str,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    attrs: Sequence[str] = (),
    shape: ShapeFunction | None = None,
    **flags: bool,
) -> None:
    """Define an op type in the grammar of TensorFlow's op registrations.

    Args:
        name: the op type, as in a GraphDef.
        inputs: such as `"x: T"`, `"values: N * T"`, `"ref: Ref(T)"`, `"args: Tin"`.
        outputs: the same for outputs.
        attrs: such as `"T: {half, float}"`, `"axis: int = 0"`, `"N: int >= 1"`,
            `"padding: {'SAME', 'VALID'}"`, `"shapes: list(shape) >= 0 = []"`.
        shape: shape function `f(op) -> list of shapes`; None gives unknown shapes.
        flags: `stateful`, `commutative`, `aggregate`, `allows_uninitialized_input`,
            `distributed_communication`, and `graph_only` for ops that never run.

    Raises:
        ValueError: the op type is defined already; names the first place.
    """
    ops.register(name, OpDef(name, inputs, outputs, attrs, shape, **flags), caller_site())
