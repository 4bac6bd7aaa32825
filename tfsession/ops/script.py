"""Python functions as operations: `tf.py_func`, `tf.py_function`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core.dtypes import as_dtype
from tfsession.core.exports import export
from tfsession.core.host_functions import HOST_FUNCTIONS_KEY, HostFunction
from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.create import create_operation, graph_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor


def _unknown(op: Operation) -> list[Shape]:
    return [None] * len(op.outputs)


for _name in ("PyFunc", "PyFuncStateless"):
    define_op(
        _name,
        inputs=["input: Tin"],
        outputs=["output: Tout"],
        attrs=["token: string", "Tin: list(type) >= 0", "Tout: list(type) >= 0"],
        stateful=_name == "PyFunc",
        shape=_unknown,
    )
define_op(
    "EagerPyFunc",
    inputs=["input: Tin"],
    outputs=["output: Tout"],
    attrs=[
        "token: string",
        "is_async: bool = false",
        "Tin: list(type) >= 0",
        "Tout: list(type) >= 0",
    ],
    stateful=True,
    shape=_unknown,
)


@export("py_func")
def py_func(
    func: Callable[..., Any],
    inp: Sequence[Any],
    Tout: Any,
    stateful: bool = True,
    name: str | None = None,
) -> Any:
    """What a Python function gives for the values of tensors, called on the host in each step.

    The function gets NumPy arrays of its own (NumPy scalars and bytes for scalars), and gives what
    can be made arrays of exactly the dtypes of `Tout`. The graph keeps it; a GraphDef holds its
    token only.

    Args:
        func: the function.
        inp: its arguments, tensors or what converts to them.
        Tout: the dtype of its result, or a list of the dtypes of its results.
        stateful: False promises that equal arguments give equal results.
        name: name of the operation.

    Returns:
        A tensor, or a list of them when `Tout` is a list; the operation when that is empty.

    A step fails with InvalidArgumentError when the function gives other dtypes or another number
    of results, or raises ValueError or TypeError; with OutOfRangeError for StopIteration,
    ResourceExhaustedError for MemoryError, UnimplementedError for NotImplementedError and
    UnknownError for other exceptions.
    """
    return _called("PyFunc" if stateful else "PyFuncStateless", func, inp, Tout, name)


def _called(
    op_type: str, func: Callable[..., Any], inp: Sequence[Any], Tout: Any, name: str | None
) -> Any:
    many = isinstance(Tout, list | tuple)
    dtypes = [as_dtype(dtype) for dtype in (Tout if many else [Tout])]
    with graph_of(list(inp)).as_default() as graph:
        kept = HostFunction(func)
        graph.get_collection_ref(HOST_FUNCTIONS_KEY).append(kept)
        attrs = {"token": kept.token, "Tout": dtypes}
        op = create_operation(op_type, [list(inp)], attrs, name)
    outputs: list[Tensor] = list(op.outputs)
    if not many:
        return outputs[0]
    return outputs or op


@export("numpy_function")
def numpy_function(
    func: Callable[..., Any] | None = None,
    inp: Sequence[Any] | None = None,
    Tout: Any = None,
    stateful: bool = True,
    name: str | None = None,
) -> Any:
    """As `py_func`."""
    if func is None or inp is None or Tout is None:
        raise TypeError("numpy_function needs func, inp and Tout")
    return py_func(func, inp, Tout, stateful, name)


@export("py_function")
def py_function(
    func: Callable[..., Any] | None = None,
    inp: Sequence[Any] | None = None,
    Tout: Any = None,
    name: str | None = None,
) -> Any:
    """What a Python function gives for the values of tensors, as `py_func`.

    The function gets arrays that have the method `numpy()` too, as TensorFlow's eager tensors do:
    it computes with NumPy. Its results are made arrays of the dtypes of `Tout`.

    Args:
        func: the function.
        inp: its arguments, tensors or what converts to them.
        Tout: the dtype of its result, or a list of the dtypes of its results.
        name: name of the operation.

    Returns:
        A tensor, or a list of them when `Tout` is a list; the operation when that is empty.

    Raises:
        TypeError: an argument is missing.

    Steps fail as those of `py_func` do, and for a function that gives tensors of a graph. How
    gradients flow back is not known: `gradient_override_map` may say.
    """
    if func is None or inp is None or Tout is None:
        raise TypeError("py_function needs func, inp and Tout")
    return _called("EagerPyFunc", func, inp, Tout, name)
