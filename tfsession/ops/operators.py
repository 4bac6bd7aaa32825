"""Python's operators on tensors. `==` compares identity, as in TensorFlow 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tfsession.core import dtypes
from tfsession.graph.create import _operation_name, convert_to_tensor, create_op
from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.graph.tensor import Tensor
from tfsession.ops import elementwise, unary
from tfsession.ops.compare import logical_xor
from tfsession.ops.constant import constant_of

Operator = Callable[[Any, Any], Any]


def install(symbol: str, forward: Operator, reflected: Operator) -> None:
    """Make `forward(x, y)` and `reflected(y, x)` the methods of an operator such as `add`.

    Where a tensor cannot be made of `y`, its own reflected method has a say.
    """
    reflected_name = f"__r{symbol}__"

    def method(x: Tensor, y: Any) -> Any:
        if type(y) is SparseTensor and hasattr(y, reflected_name):
            return getattr(y, reflected_name)(x)
        try:
            return forward(x, y)
        except (TypeError, ValueError):
            if isinstance(y, Tensor | np.ndarray | np.generic):
                raise
            try:
                result = getattr(type(y), reflected_name)(y, x)
            except (AttributeError, TypeError, ValueError):
                result = NotImplemented
            if result is NotImplemented:
                raise
            return result

    def reflected_method(y: Tensor, x: Any) -> Any:
        return reflected(y, x)

    for function, name in ((method, f"__{symbol}__"), (reflected_method, reflected_name)):
        function.__name__ = name
        function.__qualname__ = f"Tensor.{name}"
        setattr(Tensor, name, function)


def _constant_beside(tensor: Tensor, number: float, name: str, argument: str) -> tuple[Any, str]:
    """The short way for `x * 2.0`: the number as a constant, and the operation's own name.

    None and `name` where the number does not suit the tensor's type: `create_op` says so.
    """
    dtype = tensor.dtype.base_dtype
    suits = dtype.is_floating or dtype.is_complex or (dtype.is_integer and type(number) is int)
    if not suits:
        return None, name
    try:
        value = np.array(number, dtype.numpy)
    except OverflowError:
        return None, name
    graph = tensor.op.graph
    unique = _operation_name(graph, name)
    scopes = graph._scopes
    previous, scopes.name_prefix = scopes.name_prefix, unique + "/"
    try:
        constant = constant_of(graph, value, argument)
    finally:
        scopes.name_prefix = previous
    return constant, unique + "/"


def _apply(op_type: str, x: Tensor, y: Any, name: str) -> Any:
    if type(y) is float or type(y) is int:
        constant, name = _constant_beside(x, y, name, "y")
        if constant is not None:
            y = constant
    return create_op(op_type, (x, y), None, name)


def _apply_reflected(op_type: str, x: Any, y: Tensor, name: str) -> Any:
    if type(x) is float or type(x) is int:
        constant, name = _constant_beside(y, x, name, "x")
        if constant is not None:
            return create_op(op_type, (constant, y), None, name)
    return create_op(op_type, (x, y), {"T": y.dtype.base_dtype}, name)


def _install_op(symbol: str, op_type: str, name: str) -> None:
    install(
        symbol,
        lambda x, y: _apply(op_type, x, y, name),
        lambda y, x: _apply_reflected(op_type, x, y, name),
    )


def _install_bitwise(symbol: str, logical: Callable[..., Any], op_type: str) -> None:
    """`&` and its kin: logic on truth values, bits of integers in a scope of their own."""

    def apply(x: Any, y: Any, dtype: dtypes.DType, graph: Any) -> Any:
        if dtype is dtypes.bool_:
            return logical(x, y, symbol)
        with graph.name_scope(symbol):
            return create_op(op_type, (x, y), None if isinstance(x, Tensor) else {"T": dtype})

    install(
        symbol,
        lambda x, y: apply(x, y, x.dtype.base_dtype, x.op.graph),
        lambda y, x: apply(x, y, y.dtype.base_dtype, y.op.graph),
    )


def _logical(op_type: str) -> Callable[..., Any]:
    return lambda x, y, name: create_op(op_type, (x, y), None, name)


def _xor(x: Any, y: Any, name: str) -> Any:
    graph = (x if isinstance(x, Tensor) else y).op.graph
    with graph.name_scope(name) as scope:
        if not isinstance(x, Tensor):
            x = convert_to_tensor(x, dtypes.bool_, name="x")
        return logical_xor(x, y, scope)


def _add(x: Tensor, y: Any) -> Any:
    if x.dtype.base_dtype is dtypes.string or not isinstance(y, Tensor | float | int):
        return elementwise._add(x, y, "add")
    try:
        return _apply("AddV2", x, y, "add")
    except TypeError:
        if isinstance(y, Tensor):
            raise
        return elementwise._add(x, y, "add")


def _add_reflected(y: Tensor, x: Any) -> Any:
    op_type = "Add" if y.dtype.base_dtype is dtypes.string else "AddV2"
    return _apply_reflected(op_type, x, y, "add")


def _truediv(x: Tensor, y: Any) -> Any:
    if type(y) is float and (x.dtype.is_floating or x.dtype.is_complex):
        return _apply("RealDiv", x, y, "truediv")
    return elementwise._truediv(x, y, "truediv")


def _truediv_reflected(y: Tensor, x: Any) -> Any:
    dtype = y.dtype.base_dtype
    if dtype.is_floating or dtype.is_complex:
        return _apply_reflected("RealDiv", x, y, "truediv")
    return elementwise._converted("RealDiv", x, y, "truediv", dtype)


def _div_reflected(y: Tensor, x: Any) -> Any:
    dtype = y.dtype.base_dtype
    op_type = "RealDiv" if dtype.is_floating or dtype.is_complex else "FloorDiv"
    return _apply_reflected(op_type, x, y, "div")


def _invert(x: Tensor) -> Any:
    op_type = "LogicalNot" if x.dtype.base_dtype is dtypes.bool_ else "Invert"
    return create_op(op_type, (x,))


def _install_comparison(symbol: str, op_type: str) -> None:
    def method(x: Tensor, y: Any) -> Any:
        return _apply(op_type, x, y, op_type)

    method.__name__ = f"__{symbol}__"
    method.__qualname__ = f"Tensor.__{symbol}__"
    setattr(Tensor, method.__name__, method)


install("add", _add, _add_reflected)
_install_op("sub", "Sub", "sub")
_install_op("mul", "Mul", "mul")
install("truediv", _truediv, _truediv_reflected)
install("div", elementwise.div, _div_reflected)
_install_op("floordiv", "FloorDiv", "floordiv")
_install_op("mod", "FloorMod", "mod")
_install_op("pow", "Pow", "pow")
_install_bitwise("and", _logical("LogicalAnd"), "BitwiseAnd")
_install_bitwise("or", _logical("LogicalOr"), "BitwiseOr")
_install_bitwise("xor", _xor, "BitwiseXor")
for _symbol, _op_type in (
    ("lt", "Less"),
    ("le", "LessEqual"),
    ("gt", "Greater"),
    ("ge", "GreaterEqual"),
):
    _install_comparison(_symbol, _op_type)
for _name, _function in (
    ("__neg__", lambda x: create_op("Neg", (x,))),
    ("__abs__", unary.abs),
    ("__invert__", _invert),
):
    setattr(Tensor, _name, _function)

# What TensorFlow lets its tensors overload.
_BINARY = (
    "add",
    "sub",
    "mul",
    "div",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and",
    "or",
    "xor",
    "matmul",
)
Tensor.OVERLOADABLE_OPERATORS = {
    *(f"__{reflected}{name}__" for name in _BINARY for reflected in ("", "r")),
    *(f"__{name}__" for name in ("lt", "le", "gt", "ge", "eq", "ne")),
    *("__getitem__", "__invert__", "__neg__", "__abs__"),
}
