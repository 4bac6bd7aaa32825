"""The public names of core, graph and session classes, which do not declare them themselves.

Message classes are deferred: they need google.protobuf.
"""

from __future__ import annotations

import numbers
from functools import partial
from typing import Any, Final

import numpy as np

from tfsession import session as _session  # noqa: F401
from tfsession.core import (  # noqa: F401
    device_spec,
    dimension,
    dtypes,
    errors,
    protos,
    shape,
    tensor_proto,
    verbosity,
)
from tfsession.core import modes as _modes  # noqa: F401
from tfsession.core.exports import Deferred, export, export_value
from tfsession.graph import (  # noqa: F401
    create,
    default_graph,
    graph,
    graph_keys,
    importer,
    operation,
    tensor,
)

# What tfsession follows: `tf.VERSION` tells programs which TensorFlow they may expect.
_TENSORFLOW_VERSION: Final = "2.21.0"

_DTYPES: Final = (
    *("bfloat16", "float16", "half", "float32", "float64", "double", "complex64", "complex128"),
    *("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "string"),
    *("qint8", "qint16", "qint32", "quint8", "quint16", "resource", "variant"),
)

_MESSAGES: Final = {
    "": "AttrValue ConfigProto DeviceOptions Event GPUOptions GraphDef GraphOptions HistogramProto "
    "LogMessage MetaGraphDef NameAttrList NodeDef OptimizerOptions RunMetadata RunOptions "
    "SessionLog Summary SummaryMetadata TensorInfo",
    "train.": "BytesList ClusterDef Example Feature FeatureList FeatureLists Features FloatList "
    "Int64List JobDef SaverDef SequenceExample ServerDef",
    "summary.": "Event SessionLog Summary SummaryDescription TaggedRunMetadata",
}


def _export_dtypes() -> None:
    for name in _DTYPES:
        export_value(getattr(dtypes, name), name, f"dtypes.{name}")
    export_value(dtypes.DType, "DType", "dtypes.DType")
    export_value(dtypes.as_dtype, "as_dtype", "dtypes.as_dtype")
    export_value(dtypes.QUANTIZED_DTYPES, "QUANTIZED_DTYPES", "dtypes.QUANTIZED_DTYPES")


def _export_errors() -> None:
    for name, value in vars(errors).items():
        is_error = isinstance(value, type) and issubclass(value, errors.OpError)
        if is_error or isinstance(value, int):
            export_value(value, f"errors.{name}")
    export_value(errors.OpError, "OpError")
    for function in (
        errors.error_code_from_exception_type,
        errors.exception_type_from_error_code,
        errors.raise_exception_on_not_ok_status,
    ):
        export_value(function, f"errors.{function.__name__}")


def _message(name: str) -> Any:
    return getattr(protos, name)


def _export_messages() -> None:
    for prefix, messages in _MESSAGES.items():
        for name in messages.split():
            export_value(Deferred(partial(_message, name)), prefix + name)


def _export_graph() -> None:
    export_value(graph.Graph, "Graph")
    export_value(graph.get_default_graph, "get_default_graph")
    export_value(graph.reset_default_graph, "reset_default_graph")
    export_value(operation.Operation, "Operation")
    export_value(tensor.Tensor, "Tensor")
    export_value(create.convert_to_tensor, "convert_to_tensor")
    export_value(create.register_tensor_conversion_function, "register_tensor_conversion_function")
    export_value(shape.TensorShape, "TensorShape")
    export_value(dimension.Dimension, "Dimension")
    export_value(shape.enable_v2_tensorshape, "enable_v2_tensorshape")
    export_value(shape.disable_v2_tensorshape, "disable_v2_tensorshape")
    export_value(device_spec.DeviceSpecV1, "DeviceSpec")
    export_value(device_spec.DeviceSpecV2, "compat.v2.DeviceSpec")
    export_value(tensor_proto.make_tensor_proto, "make_tensor_proto")
    export_value(tensor_proto.make_ndarray, "make_ndarray")
    export_value(None, "newaxis")


def _export_versions() -> None:
    export_value(_TENSORFLOW_VERSION, "VERSION", "version.VERSION")
    export_value("unknown", "GIT_VERSION", "version.GIT_VERSION")
    for prefix in ("", "version."):
        export_value(graph.PRODUCER, f"{prefix}GRAPH_DEF_VERSION")
        export_value(0, f"{prefix}GRAPH_DEF_VERSION_MIN_PRODUCER")
        export_value(0, f"{prefix}GRAPH_DEF_VERSION_MIN_CONSUMER")


@export("compat.as_bytes")
def as_bytes(bytes_or_text: Any, encoding: str = "utf-8") -> bytes:
    """Text as bytes; TypeError for anything that is neither text nor bytes."""
    if isinstance(bytes_or_text, str):
        return bytes_or_text.encode(encoding)
    if isinstance(bytes_or_text, bytes | bytearray):
        return bytes(bytes_or_text)
    raise TypeError(f"Expected binary or unicode string, got {bytes_or_text!r}")


@export("compat.as_text", "compat.as_str")
def as_text(bytes_or_text: Any, encoding: str = "utf-8") -> str:
    """Bytes as text; TypeError for anything that is neither text nor bytes."""
    if isinstance(bytes_or_text, str):
        return bytes_or_text
    if isinstance(bytes_or_text, bytes):
        return bytes_or_text.decode(encoding)
    raise TypeError(f"Expected binary or unicode string, got {bytes_or_text!r}")


@export("compat.as_str_any")
def as_str_any(value: Any, encoding: str = "utf-8") -> str:
    """`str(value)`, with bytes decoded."""
    return as_text(value, encoding) if isinstance(value, bytes) else str(value)


@export("compat.path_to_str")
def path_to_str(path: Any) -> Any:
    """The text of a path object; anything else as it is."""
    return as_str_any(path.__fspath__()) if hasattr(path, "__fspath__") else path


def _export_compat() -> None:
    export_value((bytes, str), "compat.bytes_or_text_types")
    export_value((numbers.Integral, np.integer), "compat.integral_types")
    export_value((numbers.Real, np.integer, np.floating), "compat.real_types")
    export_value((numbers.Complex, np.number), "compat.complex_types")


_export_dtypes()
_export_errors()
_export_messages()
_export_graph()
_export_versions()
_export_compat()
