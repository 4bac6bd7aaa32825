"""Arrays as TensorProto messages and back.

A proto holds its values in the field of its type, of which the last value repeats, or all of them
as little-endian bytes in `tensor_content`.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from tfsession.core import dtypes, protos
from tfsession.core.conversion import Array, convert, fill, fit_shape, to_ndarray
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.shape import to_proto
from tfsession.core.wire import nested, read_varint, varint

__all__ = ["array_to_proto", "make_ndarray", "make_tensor_proto", "to_ndarray"]

_MAX_CONTENT: Final = 1 << 31
# Bytes that a message may ask for with a last value that repeats.
_MOST_REPEATED: Final = 1 << 26
_MOST_REPEATED_TEXTS: Final = 1 << 23
# Numbers that go into a field one by one.
_FEW: Final = 1 << 10


class _Field(NamedTuple):
    """Where a type's values stand in a TensorProto.

    `storage` is the NumPy type as which the field sees the elements' bits, None for their own.
    """

    name: str
    storage: np.dtype[Any] | None = None
    content: bool = False


def _fields() -> dict[DType, _Field]:
    bits16, bits8 = np.dtype(np.uint16), np.dtype(np.uint8)
    fields = {
        dtypes.float32: _Field("float_val", content=True),
        dtypes.float64: _Field("double_val", content=True),
        dtypes.int64: _Field("int64_val", content=True),
        dtypes.uint32: _Field("uint32_val", content=True),
        dtypes.uint64: _Field("uint64_val", content=True),
        dtypes.bool_: _Field("bool_val"),
        dtypes.float16: _Field("half_val", bits16, content=True),
        dtypes.bfloat16: _Field("half_val", bits16, content=True),
        dtypes.complex64: _Field("scomplex_val", np.dtype(np.float32)),
        dtypes.complex128: _Field("dcomplex_val", np.dtype(np.float64)),
        dtypes.uint16: _Field("int_val"),
        dtypes.string: _Field("string_val"),
    }
    for dtype in (dtypes.int8, dtypes.uint8, dtypes.int16, dtypes.int32):
        fields[dtype] = _Field("int_val", content=True)
    for dtype in (dtypes.int2, dtypes.uint2, dtypes.int4, dtypes.uint4):
        fields[dtype] = _Field("int_val")
    for dtype in (d for d in dtypes.QUANTIZED_DTYPES if not d.is_ref):
        fields[dtype] = _Field("int_val", dtype.numpy[0], content=True)
    for dtype in (dtypes.float8_e5m2, dtypes.float8_e4m3fn, dtypes.float4_e2m1fn):
        fields[dtype] = _Field("float8_val", bits8, content=True)
    # TensorFlow writes these as content only, hence never a single value.
    for dtype in (dtypes.float8_e4m3fnuz, dtypes.float8_e4m3b11fnuz, dtypes.float8_e5m2fnuz):
        fields[dtype] = _Field("", content=True)
    return fields


_FIELDS: Final = _fields()


def make_tensor_proto(
    values: Any,
    dtype: Any = None,
    shape: Any = None,
    verify_shape: bool = False,
    allow_broadcast: bool = False,
) -> Any:
    """The TensorProto of `values`, which may be anything that `to_ndarray` accepts.

    A TensorProto is returned as it is. Where `shape` holds more elements than there are values, the
    last one repeats.

    Raises:
        TypeError: a value does not suit `dtype`, or suits no type.
        ValueError: None, ragged sequences, too many values, or 2 GiB of them.
    """
    if isinstance(values, protos.TensorProto):
        return values
    wanted = None if dtype is None else as_dtype(dtype).base_dtype
    array = convert(values, wanted, shape, copy=False)
    if shape is None:
        return _encode(array, array.shape)
    return _encode(array, fit_shape(array, shape, verify_shape, allow_broadcast))


def array_to_proto(array: Array) -> Any:
    """The TensorProto of an array of `to_ndarray`; one value that fills a shape is written once."""
    proto = protos.TensorProto()
    fill_proto(proto, array)
    return proto


class _Repeated(np.ndarray[Any, np.dtype[Any]]):
    """The memory of an array that few values stood for, and the message that gave them."""

    message: Any


def fill_proto(proto: Any, array: Array) -> None:
    """Write into an empty TensorProto what `array_to_proto` gives."""
    shape = array.shape
    memory = array.base
    # An array of this layout is all of the memory.
    if isinstance(memory, _Repeated) and (memory.shape, memory.strides, memory.dtype) == (
        *(shape, array.strides, array.dtype),
    ):
        proto.CopyFrom(memory.message)
        return
    if array.size > 1 and not any(array.strides):
        array = array[(slice(0, 1),) * array.ndim]
    _encode(array, shape, proto)


def _encode(array: Array, shape: tuple[int, ...], into: Any = None) -> Any:
    dtype = as_dtype(array.dtype)
    field = _FIELDS[dtype]
    proto = protos.TensorProto() if into is None else into
    proto.dtype = dtype.as_datatype_enum
    proto.tensor_shape.CopyFrom(to_proto(shape))
    if field.content and array.size > 1 and array.size == math.prod(shape):
        if array.nbytes >= _MAX_CONTENT:
            raise ValueError("Cannot create a tensor proto whose content is larger than 2GB.")
        _set_content(proto, array)
        return proto
    if not field.name:
        raise TypeError(f"Element type not supported in TensorProto: {dtype.name}.")
    if dtype is dtypes.string:
        _set_texts(proto, array.ravel().tolist())
        return proto
    protos.require_room(array.nbytes)
    values = array.ravel()
    if field.storage is not None:
        values = values.view(field.storage)
    if field.name == "float8_val":
        proto.float8_val = values.tobytes()
    elif values.dtype.kind in "fb" and values.size > _FEW:
        # A packed field of floating point numbers or truths is their bytes: no number for each in
        # Python.
        number = proto.DESCRIPTOR.fields_by_name[field.name].number
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        proto.MergeFromString(nested(number, little.tobytes()))
    else:
        protos.extend(getattr(proto, field.name), values.tolist())
    return proto


def make_ndarray(tensor: Any) -> Array:
    """The array of a TensorProto, ours or real TensorFlow's; texts are an object array of bytes.

    Raises:
        ValueError: more values than elements, or content of another size.
        TypeError: a type that a TensorProto cannot hold.
        KeyError: resource and variant.
    """
    dtype = as_dtype(tensor.dtype)
    sizes = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if not dtype.is_numpy_compatible:
        raise KeyError(dtype.as_datatype_enum)
    if tensor.tensor_content:
        if dtype is dtypes.string:
            return fill(_texts(tensor.tensor_content, math.prod(sizes)), sizes)
        content = np.frombuffer(tensor.tensor_content, dtype.numpy.newbyteorder("<"))
        # Always a copy: an array over a bytes object cannot be written to.
        return content.astype(dtype.numpy).reshape(sizes)
    field = _FIELDS.get(dtype)
    if field is None or not field.name:
        raise TypeError(f"Unsupported tensor type: {tensor.dtype}.")
    return fill(_decode(getattr(tensor, field.name), dtype, field), sizes)


def constant_array(tensor: Any) -> Array:
    """The array of a TensorProto that `fill_proto` writes with as few values as it has here.

    Where the message gives one value for all elements, or none, it takes the memory of one of them.
    It cannot be written to if the message gives fewer values than elements.

    Raises:
        ValueError: as `make_ndarray`; or the message gives several values, and claims to stand for
            a great many more.
        TypeError: a type that a TensorProto cannot hold.
        KeyError: resource and variant.
    """
    sizes = tuple(dim.size for dim in tensor.tensor_shape.dim)
    dtype = as_dtype(tensor.dtype)
    field = _FIELDS.get(dtype)
    if tensor.tensor_content or field is None or not field.name:
        return make_ndarray(tensor)
    values = _decode(getattr(tensor, field.name), dtype, field)
    count = math.prod(sizes)
    if values.size >= count:
        return fill(values, sizes)
    if values.size <= 1:
        return np.broadcast_to(fill(values, ()), sizes)
    most = _MOST_REPEATED_TEXTS if dtype is dtypes.string else _MOST_REPEATED
    if count * dtype.numpy.itemsize > most:
        raise ValueError(f"{values.size} values are given for a tensor of shape {list(sizes)}")
    memory = _Repeated(sizes, dtype.numpy)
    memory[...] = fill(values, sizes)
    memory.message = type(tensor)()
    memory.message.CopyFrom(tensor)
    memory.flags.writeable = False
    return memory.view(np.ndarray)


def _texts(content: bytes, count: int) -> Array:
    """So many texts, of which content has first the lengths and then all of them."""
    lengths, place = [], 0
    if not 0 <= count <= len(content):
        raise ValueError(f"{len(content)} bytes cannot hold {count} texts")
    for _ in range(count):
        length, place = read_varint(content, place)
        lengths.append(length)
    if place + sum(lengths) != len(content):
        raise ValueError("the texts of a tensor do not have the lengths that are told")
    found = np.empty(count, object)
    for index, length in enumerate(lengths):
        found[index] = content[place : place + length]
        place += length
    return found


def _decode(values: Any, dtype: DType, field: _Field) -> Array:
    """The values of a field, in one dimension."""
    if field.storage is None:
        return np.array(list(values), dtype.numpy)
    if field.name == "float8_val":
        return np.array(bytearray(values), field.storage).view(dtype.numpy)
    parts = np.array(list(values), field.storage)
    if dtype.is_complex:
        parts = parts[: parts.size // 2 * 2]
    return parts.view(dtype.numpy)


def content_proto(array: Array, texts_as_content: bool = False) -> Any:
    """The TensorProto that holds numbers as content, whatever their number.

    With `texts_as_content` texts, too: first the lengths of all, then all texts.
    """
    dtype = as_dtype(array.dtype)
    proto = protos.TensorProto(dtype=dtype.as_datatype_enum, tensor_shape=to_proto(array.shape))
    texts = array.ravel().tolist() if dtype is dtypes.string else []
    if texts_as_content and texts:
        content = b"".join([*(varint(len(text)) for text in texts), *texts])
        protos.require_room(len(content))
        proto.tensor_content = content
    elif dtype is dtypes.string:
        _set_texts(proto, texts)
    else:
        _set_content(proto, array)
    return proto


def _set_content(proto: Any, array: Array) -> None:
    protos.require_room(array.nbytes)
    proto.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _set_texts(proto: Any, texts: list[bytes]) -> None:
    protos.require_room(sum(map(len, texts)))
    protos.extend(proto.string_val, texts)


def serialized(array: Array, texts_as_content: bool = False) -> bytes:
    """The bytes of the TensorProto of `content_proto`."""
    data: bytes = content_proto(array, texts_as_content).SerializeToString()
    return data


def parsed(data: bytes) -> tuple[DType, Array]:
    """The dtype and the array of a serialized TensorProto.

    Raises:
        ValueError: it is none, or holds no array.
    """
    proto = protos.parsed(protos.TensorProto, data)
    try:
        return as_dtype(proto.dtype), make_ndarray(proto)
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None
