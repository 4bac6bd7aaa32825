"""Signatures: which tensors of a saved graph go in and come out, by names that callers use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tfsession.core import protos
from tfsession.core.dtypes import float32, string
from tfsession.core.exports import export, export_value
from tfsession.core.shape import to_proto
from tfsession.core.tensor_proto import make_tensor_proto
from tfsession.graph.graph import get_default_graph
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor

_CONSTANTS: Final = {
    "constants": {
        "ASSETS_DIRECTORY": "assets",
        "ASSETS_KEY": "saved_model_assets",
        "DEBUG_DIRECTORY": "debug",
        "DEBUG_INFO_FILENAME_PB": "saved_model_debug_info.pb",
        "LEGACY_INIT_OP_KEY": "legacy_init_op",
        "MAIN_OP_KEY": "saved_model_main_op",
        "SAVED_MODEL_FILENAME_PB": "saved_model.pb",
        "SAVED_MODEL_FILENAME_PBTXT": "saved_model.pbtxt",
        "SAVED_MODEL_SCHEMA_VERSION": 1,
        "VARIABLES_DIRECTORY": "variables",
        "VARIABLES_FILENAME": "variables",
    },
    "tag_constants": {"GPU": "gpu", "SERVING": "serve", "TPU": "tpu", "TRAINING": "train"},
    "signature_constants": {
        "CLASSIFY_INPUTS": "inputs",
        "CLASSIFY_METHOD_NAME": "tensorflow/serving/classify",
        "CLASSIFY_OUTPUT_CLASSES": "classes",
        "CLASSIFY_OUTPUT_SCORES": "scores",
        "DEFAULT_SERVING_SIGNATURE_DEF_KEY": "serving_default",
        "PREDICT_INPUTS": "inputs",
        "PREDICT_METHOD_NAME": "tensorflow/serving/predict",
        "PREDICT_OUTPUTS": "outputs",
        "REGRESS_INPUTS": "inputs",
        "REGRESS_METHOD_NAME": "tensorflow/serving/regress",
        "REGRESS_OUTPUTS": "outputs",
    },
}
for _group, _members in _CONSTANTS.items():
    for _name, _value in _members.items():
        export_value(_value, f"saved_model.{_group}.{_name}", f"saved_model.{_name}")


@export("saved_model.build_tensor_info", "saved_model.utils.build_tensor_info")
def build_tensor_info(tensor: Any) -> Any:
    """The TensorInfo of a tensor, sparse or not: its name, dtype and shape."""
    info = protos.TensorInfo(dtype=tensor.dtype.as_datatype_enum)
    if isinstance(tensor, SparseTensor):
        info.coo_sparse.values_tensor_name = tensor.values.name
        info.coo_sparse.indices_tensor_name = tensor.indices.name
        info.coo_sparse.dense_shape_tensor_name = tensor.dense_shape.name
    else:
        info.name = tensor.name
    sizes = tensor.get_shape()
    info.tensor_shape.CopyFrom(to_proto(None if sizes.ndims is None else tuple(sizes.as_list())))
    return info


@export("saved_model.get_tensor_from_tensor_info", "saved_model.utils.get_tensor_from_tensor_info")
def get_tensor_from_tensor_info(
    tensor_info: Any, graph: Any = None, import_scope: str | None = None
) -> Any:
    """The tensor of a TensorInfo in a graph.

    Raises:
        KeyError: there is no such tensor.
        ValueError: the message names none.
    """
    graph = graph or get_default_graph()

    def tensor(name: str) -> Any:
        return graph.get_tensor_by_name(f"{import_scope}/{name}" if import_scope else name)

    encoding = tensor_info.WhichOneof("encoding")
    if encoding == "name":
        return tensor(tensor_info.name)
    if encoding == "coo_sparse":
        sparse = tensor_info.coo_sparse
        return SparseTensor(
            tensor(sparse.indices_tensor_name),
            tensor(sparse.values_tensor_name),
            tensor(sparse.dense_shape_tensor_name),
        )
    raise ValueError(f"Invalid TensorInfo.encoding: {encoding}")


@export("saved_model.build_signature_def", "saved_model.signature_def_utils.build_signature_def")
def build_signature_def(
    inputs: Mapping[str, Any] | None = None,
    outputs: Mapping[str, Any] | None = None,
    method_name: str | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Any:
    """The SignatureDef of TensorInfos by name.

    Args:
        inputs: what goes in.
        outputs: what comes out.
        method_name: what kind of service it is.
        defaults: constants for inputs that may be left out.

    Raises:
        ValueError: a default is no constant.
    """
    signature = protos.SignatureDef(method_name=method_name)
    for field, given in (("inputs", inputs), ("outputs", outputs)):
        for name, message in (given or {}).items():
            getattr(signature, field)[name].CopyFrom(message)
    for name, default in (defaults or {}).items():
        if default.op.type != "Const":
            raise ValueError(
                f"Unable to convert object {default} of type {type(default)} to TensorProto."
            )
        signature.defaults[name].CopyFrom(make_tensor_proto(default.op.attrs["value"]))
    return signature


def _tensor_infos(tensors: Mapping[str, Any] | None, what: str) -> dict[str, Any]:
    if not tensors:
        raise ValueError(f"Prediction `{what}` cannot be None or empty.")
    return {name: build_tensor_info(tensor) for name, tensor in tensors.items()}


@export(
    "saved_model.predict_signature_def", "saved_model.signature_def_utils.predict_signature_def"
)
def predict_signature_def(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    """The signature of any computation; ValueError without inputs or outputs."""
    return build_signature_def(
        _tensor_infos(inputs, "inputs"),
        _tensor_infos(outputs, "outputs"),
        "tensorflow/serving/predict",
    )


def _of_dtype(tensor: Any, dtype: Any, what: str) -> Any:
    if tensor.dtype.base_dtype is not dtype:
        raise ValueError(
            f"{what} tensors must be of type {dtype.name}, but found {tensor.dtype.name}"
        )
    return build_tensor_info(tensor)


def _serialized(examples: Any, what: str) -> dict[str, Any]:
    if not isinstance(examples, Tensor):
        raise ValueError(
            f"Expected {what.lower()} `examples` to be of type Tensor, but found {type(examples)}"
        )
    return {"inputs": _of_dtype(examples, string, f"{what} input")}


@export(
    "saved_model.regression_signature_def",
    "saved_model.signature_def_utils.regression_signature_def",
)
def regression_signature_def(examples: Any, predictions: Any) -> Any:
    """The signature from serialized Examples to float32 predictions.

    Raises:
        ValueError: one of them is None, or of another dtype.
    """
    if examples is None or predictions is None:
        raise ValueError("Regression `examples` and `predictions` cannot be None.")
    inputs = _serialized(examples, "Regression")
    outputs = {"outputs": _of_dtype(predictions, float32, "Regression output")}
    return build_signature_def(inputs, outputs, "tensorflow/serving/regress")


@export(
    "saved_model.classification_signature_def",
    "saved_model.signature_def_utils.classification_signature_def",
)
def classification_signature_def(examples: Any, classes: Any, scores: Any) -> Any:
    """The signature from serialized Examples to names of classes, to float32 scores, or to both.

    Raises:
        ValueError: nothing goes in, nothing comes out, or a tensor is of another dtype.
    """
    if examples is None:
        raise ValueError("Classification `examples` cannot be None.")
    if classes is None and scores is None:
        raise ValueError("Classification `classes` and `scores` cannot both be None.")
    inputs = _serialized(examples, "Classification")
    outputs = {}
    if classes is not None:
        outputs["classes"] = _of_dtype(classes, string, "Classification classes")
    if scores is not None:
        outputs["scores"] = _of_dtype(scores, float32, "Classification scores")
    return build_signature_def(inputs, outputs, "tensorflow/serving/classify")


# For each method the dtype of its input, and those of what may come out.
_METHODS: Final = {
    "tensorflow/serving/regress": {"outputs": float32},
    "tensorflow/serving/classify": {"classes": string, "scores": float32},
}


@export("saved_model.is_valid_signature", "saved_model.signature_def_utils.is_valid_signature")
def is_valid_signature(signature_def: Any) -> bool:
    """Whether a SignatureDef is one of a prediction, a regression or a classification."""
    if signature_def is None or not signature_def.inputs or not signature_def.outputs:
        return False
    method = signature_def.method_name
    if method == "tensorflow/serving/predict":
        return True
    allowed = _METHODS.get(method)
    return (
        allowed is not None
        and list(signature_def.inputs) == ["inputs"]
        and signature_def.inputs["inputs"].dtype == string.as_datatype_enum
        and all(
            name in allowed and info.dtype == allowed[name].as_datatype_enum
            for name, info in signature_def.outputs.items()
        )
    )
