"""Element types: `DType`, its singletons, and `as_dtype`.

Every type of TensorFlow's DataType enum has a row in `_ROWS`; a reference type's enum is + 100.
What hot paths read is a slot filled once at import, never a computed property.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any, Final, SupportsInt

import ml_dtypes
import numpy as np

_REF_OFFSET: Final = 100

# ml_dtypes knows NumPy's own types too; its two classes carry no annotations.
_finfo: Callable[[Any], Any] = ml_dtypes.finfo
_iinfo: Callable[[Any], Any] = ml_dtypes.iinfo


class DType:
    """The type of a tensor's elements. There is one object for each type: compare with `is`.

    `==` also accepts whatever `as_dtype` accepts. `DType(enum)` returns the singleton.
    Attributes:
        name: "float32", "float32_ref", ...
        as_datatype_enum: the number of TensorFlow's DataType enum.
        as_numpy_dtype: the NumPy scalar type; KeyError for resource and variant.
        numpy: the `numpy.dtype` of arrays of such elements (object for string, resource, variant).
        base_dtype: the type without reference.
        real_dtype: the type of the parts of a complex number; the type itself otherwise.
        proto_name: "DT_FLOAT", ...
        op_def_name: the name in op definitions and error texts: "float", "half", ...
        size: bytes of one element; 0 where it has no fixed size.
    """

    __slots__ = (
        "_as_ref",
        "_is_ref_dtype",
        "as_datatype_enum",
        "as_numpy_dtype",
        "base_dtype",
        "is_bool",
        "is_complex",
        "is_floating",
        "is_integer",
        "is_numeric",
        "is_numpy_compatible",
        "is_quantized",
        "is_ref",
        "is_unsigned",
        "name",
        "numpy",
        "op_def_name",
        "proto_name",
        "real_dtype",
        "size",
    )

    name: str
    as_datatype_enum: int
    as_numpy_dtype: Any
    numpy: np.dtype[Any]
    base_dtype: DType
    real_dtype: DType
    is_floating: builtins.bool
    is_integer: builtins.bool
    is_complex: builtins.bool
    is_bool: builtins.bool
    is_unsigned: builtins.bool
    is_quantized: builtins.bool
    is_numeric: builtins.bool
    is_numpy_compatible: builtins.bool
    is_ref: builtins.bool
    _is_ref_dtype: builtins.bool
    _as_ref: DType
    proto_name: str
    op_def_name: str
    size: int

    def __new__(cls, type_enum: SupportsInt | str) -> DType:
        """The singleton of that number; TypeError for an unknown one."""
        enum = int(type_enum)
        try:
            return _BY_ENUM[enum]
        except KeyError:
            raise TypeError(f"{enum} does not correspond to a valid tensorflow::DataType") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a DType cannot be changed: {name}")

    def __getattr__(self, name: str) -> Any:
        # Reached only where a slot is empty.
        if name == "as_numpy_dtype":
            raise KeyError(self.as_datatype_enum)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    @property
    def min(self) -> Any:
        """The smallest number of this type; TypeError where there is none."""
        return self._extreme("minimum", "min")

    @property
    def max(self) -> Any:
        """The greatest number of this type; TypeError where there is none."""
        return self._extreme("maximum", "max")

    def _extreme(self, noun: str, attribute: str) -> Any:
        if not self.is_numpy_compatible:
            raise TypeError(f"Cannot find {noun} value of {self}.")
        if self.is_quantized:
            raise TypeError(
                f"Cannot find {noun} value of {self} with quantized type {self.base_dtype}."
            )
        if self.is_floating:
            return getattr(_finfo(self.as_numpy_dtype), attribute)
        if self.is_integer:
            return getattr(_iinfo(self.as_numpy_dtype), attribute)
        raise TypeError(f"Cannot find {noun} value of {self} with type {self.base_dtype}.")

    @property
    def limits(self) -> tuple[Any, Any]:
        """The (darkest, brightest) intensity of an image of this type; ValueError if undefined."""
        if not self.is_numpy_compatible:
            raise KeyError(self.as_datatype_enum)
        base = self.base_dtype
        if base is bool_:
            return 0, True
        if base is float32 or base is float64:
            return 0, 1
        if base.is_integer and base.numpy.kind in "iu":
            return 0, self.max
        raise ValueError(f"{self} does not have defined limits.")

    def is_compatible_with(self, other: object) -> builtins.bool:
        """Whether a tensor of type `other` may stand where this type is asked for."""
        other = as_dtype(other)
        return self is other or self is other.base_dtype

    def __eq__(self, other: object) -> builtins.bool:
        if self is other:
            return True
        if other is None or type(other) is DType:
            return False
        try:
            return as_dtype(other) is self
        except TypeError:
            return False

    def __ne__(self, other: object) -> builtins.bool:
        return not self == other

    def __hash__(self) -> int:
        return self.as_datatype_enum

    def __int__(self) -> int:
        return self.as_datatype_enum

    def __repr__(self) -> str:
        return f"tf.{self.name}"

    def __str__(self) -> str:
        return f"<dtype: {self.name!r}>"

    def __reduce__(self) -> tuple[Callable[[object], DType], tuple[str]]:
        return as_dtype, (self.name,)


_BY_ENUM: Final[dict[int, DType]] = {}
_BY_KEY: Final[dict[Any, DType]] = {}

# Attribute letters: f floating, i integer, u unsigned, c complex, q quantized, b bool, n numeric
# (TensorFlow counts neither bool nor the types below 16 bits that came late as numeric).
_ROWS: Final[tuple[tuple[int, str, Any, str], ...]] = (
    (1, "float32", np.float32, "fn"),
    (2, "float64", np.float64, "fn"),
    (3, "int32", np.int32, "in"),
    (4, "uint8", np.uint8, "iun"),
    (5, "int16", np.int16, "in"),
    (6, "int8", np.int8, "in"),
    (7, "string", object, ""),
    (8, "complex64", np.complex64, "cn"),
    (9, "int64", np.int64, "in"),
    (10, "bool", np.bool_, "b"),
    (11, "qint8", np.dtype([("qint8", np.int8)]), "qn"),
    (12, "quint8", np.dtype([("quint8", np.uint8)]), "qn"),
    (13, "qint32", np.dtype([("qint32", np.int32)]), "qn"),
    (14, "bfloat16", ml_dtypes.bfloat16, "fn"),
    (15, "qint16", np.dtype([("qint16", np.int16)]), "qn"),
    (16, "quint16", np.dtype([("quint16", np.uint16)]), "qn"),
    (17, "uint16", np.uint16, "iun"),
    (18, "complex128", np.complex128, "cn"),
    (19, "float16", np.float16, "fn"),
    (20, "resource", None, ""),
    (21, "variant", None, ""),
    (22, "uint32", np.uint32, "iun"),
    (23, "uint64", np.uint64, "iun"),
    (24, "float8_e5m2", ml_dtypes.float8_e5m2, "f"),
    (25, "float8_e4m3fn", ml_dtypes.float8_e4m3fn, "f"),
    (26, "float8_e4m3fnuz", ml_dtypes.float8_e4m3fnuz, "f"),
    (27, "float8_e4m3b11fnuz", ml_dtypes.float8_e4m3b11fnuz, "f"),
    (28, "float8_e5m2fnuz", ml_dtypes.float8_e5m2fnuz, "f"),
    (29, "int4", ml_dtypes.int4, "i"),
    (30, "uint4", ml_dtypes.uint4, "iu"),
    (31, "int2", ml_dtypes.int2, "i"),
    (32, "uint2", ml_dtypes.uint2, "iu"),
    (33, "float4_e2m1fn", ml_dtypes.float4_e2m1fn, "f"),
)

# The names that op definitions and the DataType enum use where they differ from ours.
_SHORT_NAMES: Final = {"float16": "half", "float32": "float", "float64": "double"}


def _fill(dtype: DType, **slots: Any) -> None:
    for slot, value in slots.items():
        object.__setattr__(dtype, slot, value)


def _define(enum: int, name: str, numpy_type: Any, letters: str) -> None:
    base = object.__new__(DType)
    ref = object.__new__(DType)
    array_type = np.dtype(object if numpy_type is None else numpy_type)
    short = _SHORT_NAMES.get(name, name)
    for dtype, offset, suffix in ((base, 0, ""), (ref, _REF_OFFSET, "_ref")):
        _fill(
            dtype,
            name=name + suffix,
            as_datatype_enum=enum + offset,
            numpy=array_type,
            base_dtype=base,
            real_dtype=dtype,
            is_floating="f" in letters,
            is_integer="i" in letters,
            is_complex="c" in letters,
            is_bool="b" in letters,
            is_unsigned="u" in letters,
            is_quantized="q" in letters,
            is_numeric="n" in letters,
            is_numpy_compatible=numpy_type is not None,
            is_ref=dtype is ref,
            _is_ref_dtype=dtype is ref,
            _as_ref=ref,
            proto_name=f"DT_{short}{suffix}".upper(),
            op_def_name=short + suffix,
            size=0 if array_type.hasobject else array_type.itemsize,
        )
        if numpy_type is not None:
            _fill(dtype, as_numpy_dtype=numpy_type)
        _BY_ENUM[enum + offset] = dtype
        for key in (enum + offset, name + suffix, short + suffix):
            _BY_KEY[key] = dtype
    if numpy_type is not None:
        _BY_KEY[numpy_type] = _BY_KEY[array_type] = base


for _row in _ROWS:
    _define(*_row)

half = float16 = _BY_KEY["float16"]
bfloat16 = _BY_KEY["bfloat16"]
float32 = _BY_KEY["float32"]
double = float64 = _BY_KEY["float64"]
float8_e5m2 = _BY_KEY["float8_e5m2"]
float8_e4m3fn = _BY_KEY["float8_e4m3fn"]
float8_e4m3fnuz = _BY_KEY["float8_e4m3fnuz"]
float8_e4m3b11fnuz = _BY_KEY["float8_e4m3b11fnuz"]
float8_e5m2fnuz = _BY_KEY["float8_e5m2fnuz"]
float4_e2m1fn = _BY_KEY["float4_e2m1fn"]
int2 = _BY_KEY["int2"]
int4 = _BY_KEY["int4"]
int8 = _BY_KEY["int8"]
int16 = _BY_KEY["int16"]
int32 = _BY_KEY["int32"]
int64 = _BY_KEY["int64"]
uint2 = _BY_KEY["uint2"]
uint4 = _BY_KEY["uint4"]
uint8 = _BY_KEY["uint8"]
uint16 = _BY_KEY["uint16"]
uint32 = _BY_KEY["uint32"]
uint64 = _BY_KEY["uint64"]
bool = bool_ = _BY_KEY["bool"]
complex64 = _BY_KEY["complex64"]
complex128 = _BY_KEY["complex128"]
string = _BY_KEY["string"]
resource = _BY_KEY["resource"]
variant = _BY_KEY["variant"]
qint8 = _BY_KEY["qint8"]
qint16 = _BY_KEY["qint16"]
qint32 = _BY_KEY["qint32"]
quint8 = _BY_KEY["quint8"]
quint16 = _BY_KEY["quint16"]

half_ref = float16_ref = float16._as_ref
bfloat16_ref = bfloat16._as_ref
float32_ref = float32._as_ref
double_ref = float64_ref = float64._as_ref
int8_ref = int8._as_ref
int16_ref = int16._as_ref
int32_ref = int32._as_ref
int64_ref = int64._as_ref
uint8_ref = uint8._as_ref
uint16_ref = uint16._as_ref
uint32_ref = uint32._as_ref
uint64_ref = uint64._as_ref
bool_ref = bool_._as_ref
complex64_ref = complex64._as_ref
complex128_ref = complex128._as_ref
string_ref = string._as_ref
resource_ref = resource._as_ref
variant_ref = variant._as_ref

for _complex, _real in ((complex64, float32), (complex128, float64)):
    _fill(_complex, real_dtype=_real)
    _fill(_complex._as_ref, real_dtype=_real)

_BY_KEY.update(
    {
        builtins.float: float32,
        builtins.bool: bool_,
        np.object_: string,
        np.bytes_: string,
        np.str_: string,
        np.dtypes.StringDType(): string,
    }
)
# C's integer types: which of them NumPy spells as a type of its own differs between platforms.
for _c_type in (np.intc, np.long, np.longlong, np.uintc, np.ulong, np.ulonglong):
    _BY_KEY.setdefault(_c_type, _BY_KEY[np.dtype(_c_type)])

QUANTIZED_DTYPES: Final = frozenset(d for d in _BY_ENUM.values() if d.is_quantized)
ALL_DTYPES: Final = tuple(d for d in _BY_ENUM.values() if not d.is_ref)


def as_dtype(type_value: Any) -> DType:
    """The DType that `type_value` stands for.

    Accepts a DType, a DataType number, a name ("float32", "float", "half_ref"), a NumPy type or
    dtype, the Python types float, bool and object, and anything with a NumPy `dtype` attribute.
    Everything else, `int` and `str` too, is a TypeError.
    """
    if type(type_value) is DType:
        return type_value
    try:
        return _BY_KEY[type_value]
    except (KeyError, TypeError):
        pass
    found = _from_numpy(type_value)
    if found is None:
        raise TypeError(
            f"Cannot convert the argument `type_value`: {type_value!r} to a TensorFlow DType."
        )
    return found


def _from_numpy(value: Any) -> DType | None:
    """The DType of a NumPy dtype, byte-swapped ones too, or of an object that has such a dtype."""
    carried = value if isinstance(value, np.dtype) else getattr(value, "dtype", None)
    return _BY_KEY.get(carried.type) if isinstance(carried, np.dtype) else None


_REAL_NUMBERS: Final = (
    "float double int32 uint8 int16 int8 int64 bfloat16 uint16 half uint32 uint64"
)
_NUMBERS: Final = (
    "float double int32 uint8 int16 int8 complex64 int64 qint8 quint8 qint32 bfloat16 qint16 "
    "quint16 uint16 complex128 half uint32 uint64"
)

# The groups that op definitions name; the order is the one of `allowed_values`.
TYPE_GROUPS: Final[dict[str, tuple[DType, ...]]] = {
    "numbertype": tuple(_BY_KEY[name] for name in _NUMBERS.split()),
    "realnumbertype": tuple(_BY_KEY[name] for name in _REAL_NUMBERS.split()),
    "quantizedtype": (qint8, quint8, qint32, qint16, quint16),
}


def parse_type_list(text: str) -> tuple[DType, ...]:
    """The types that a text of an op definition allows.

    `"numbertype"`, `"float"`, `"{half, float}"` and `"{realnumbertype, bool}"` are such texts; an
    unknown name is a ValueError.
    """
    inner = text.strip()
    if inner.startswith("{") and inner.endswith("}"):
        inner = inner[1:-1]
    types: list[DType] = []
    for word in inner.split(","):
        name = word.strip()
        group = TYPE_GROUPS.get(name)
        if group is not None:
            types.extend(group)
        elif name in _BY_KEY:
            types.append(_BY_KEY[name])
        else:
            raise ValueError(f"Unknown type {name!r} in {text!r}")
    return tuple(types)
