"""What TensorFlow keeps to itself, in `tensorflow.python.*`, and programs import nonetheless.

Only what has no public name: `tfsession.imports.module_names` finds the rest.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from tfsession.core import protos
from tfsession.core.dimension import Dimension
from tfsession.core.exports import export, export_value
from tfsession.core.shape import TensorShape
from tfsession.core.verbosity import get_logger
from tfsession.graph.constant_value import get_static_value
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.tensor import Tensor
from tfsession.ops import constant
from tfsession.ops.cond import cond
from tfsession.ops.defun import Defun
from tfsession.ops.partitioned_variable import PartitionedVariable
from tfsession.ops.resource_variable import ResourceVariable
from tfsession.session import Session
from tfsession.train.slots import create_zeros_slot, is_resource

export_value(Defun, "python.framework.function.Defun")
export_value(PartitionedVariable, "python.ops.variables.PartitionedVariable")
export_value(ResourceVariable, "python.ops.resource_variable_ops.ResourceVariable")
export_value(is_resource, "python.ops.resource_variable_ops.is_resource_variable")
export_value(create_zeros_slot, "python.training.slot_creator.create_zeros_slot")
export_value(contextlib.contextmanager, "python.util.tf_contextlib.contextmanager")

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
_SMART: Final = (
    *("python.framework.smart_cond", "python.layers.utils"),
    *("contrib.framework", "contrib.layers.utils"),
)


@export("python.ops.control_flow_ops.with_dependencies")
def with_dependencies(dependencies: Sequence[Any], output_tensor: Any, name: Any = None) -> Any:
    """`output_tensor`, not to be had before all of `dependencies` are done.

    Args:
        dependencies: operations and tensors.
        output_tensor: tensor, IndexedSlices or value.
        name: name of the operation, "control_dependency" by default.
    """
    if not hasattr(output_tensor, "graph"):
        output_tensor = convert_to_tensor(output_tensor)
    return constant.with_dependencies(list(dependencies), output_tensor, name)


@export("python.framework.smart_cond.smart_constant_value", "python.layers.utils.constant_value",
        "contrib.framework.smart_constant_value")  # fmt: skip
def smart_constant_value(pred: Any) -> bool | None:
    """The truth of `pred`, None where only a run tells.

    Raises:
        TypeError: it is no tensor, no bool and neither 0 nor 1.
    """
    if isinstance(pred, Tensor):
        value = get_static_value(pred)
        return None if value is None else bool(value)
    if hasattr(pred, "_as_graph_element"):  # a variable
        return None
    if isinstance(pred, bool) or (isinstance(pred, int) and pred in (0, 1)):
        return bool(pred)
    raise TypeError(
        f"`pred` must be a Tensor, or a Python bool, or 1 or 0. Found instead: {type(pred)}"
    )


@export(*(f"{module}.smart_cond" for module in _SMART))
def smart_cond(
    pred: Any,
    true_fn: Callable[[], Any] | None = None,
    false_fn: Callable[[], Any] | None = None,
    name: str | None = None,
) -> Any:
    """`tf.cond`, but one branch alone, without an operation, where `pred` is known now.

    Raises:
        TypeError: a branch cannot be called, or `pred` is no truth value.
    """
    for branch, text in ((true_fn, "true_fn"), (false_fn, "false_fn")):
        if not callable(branch):
            raise TypeError(f"`{text}` must be callable.")
    known = smart_constant_value(pred)
    if known is None:
        return cond(pred, true_fn, false_fn, name=name)
    return true_fn() if known else false_fn()  # type: ignore[misc]


# --- shapes ---


@export("python.framework.tensor_shape.as_shape")
def as_shape(shape: Any) -> TensorShape:
    """`shape` as a TensorShape."""
    return shape if isinstance(shape, TensorShape) else TensorShape(shape)


@export("python.framework.tensor_shape.as_dimension")
def as_dimension(value: Any) -> Dimension:
    """`value` as a Dimension."""
    return value if isinstance(value, Dimension) else Dimension(value)


@export("python.framework.tensor_shape.unknown_shape")
def unknown_shape(rank: int | None = None) -> TensorShape:
    """A shape of which nothing is known, or only the rank."""
    return TensorShape(None if rank is None else [None] * rank)


@export("python.framework.tensor_shape.scalar")
def scalar() -> TensorShape:
    """The shape of rank 0."""
    return TensorShape([])


@export("python.framework.tensor_shape.vector")
def vector(length: Any) -> TensorShape:
    """The shape [length]."""
    return TensorShape([length])


@export("python.framework.tensor_shape.matrix")
def matrix(rows: Any, cols: Any) -> TensorShape:
    """The shape [rows, cols]."""
    return TensorShape([rows, cols])


# --- decorators of TensorFlow's own source, which programs have copied with it ---


@export("python.util.tf_export.tf_export", "python.util.tf_export.keras_export",
        "python.util.tf_export.estimator_export")  # fmt: skip
def tf_export(*names: str, **options: Any) -> Callable[[T], T]:
    """A decorator that leaves its function or class as it is: programs add no names to `tf`.

    Args:
        names: the names that it would have.
        options: not used.
    """
    return lambda value: value


@export("python.util.deprecation.deprecated")
def deprecated(date: str | None, instructions: str, warn_once: bool = True) -> Callable[[F], F]:
    """A decorator of functions; the first call, or each, logs a warning.

    Args:
        date: when the function will go, None for some time.
        instructions: what to use in its place.
        warn_once: warn at the first call only.
    """

    def decorate(function: F) -> F:
        warned = False

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal warned
            if not (warned and warn_once):
                warned = True
                get_logger().warning(
                    "%s (from %s) is deprecated and will be removed %s.\n"
                    "Instructions for updating:\n%s",
                    *(function.__name__, function.__module__),
                    *(f"after {date}" if date else "in a future version", instructions),
                )
            return function(*args, **kwargs)

        return wrapper  # type: ignore[return-value]

    return decorate


# --- the interpreter and the machine ---


class ArgSpec(NamedTuple):
    """What a function takes, as Python 2 told it."""

    args: list[str]
    varargs: str | None
    keywords: str | None
    defaults: tuple[Any, ...] | None


export_value(ArgSpec, "python.util.tf_inspect.ArgSpec")
for _name in (
    *("getcallargs", "getdoc", "getfile", "getfullargspec", "getmembers", "getmodule", "getmro"),
    *("getsource", "getsourcefile", "getsourcelines", "isbuiltin", "isclass", "isfunction"),
    *("isgenerator", "isgeneratorfunction", "ismethod", "ismodule", "isroutine", "stack"),
    *("currentframe", "FullArgSpec"),
):
    export_value(getattr(inspect, _name), f"python.util.tf_inspect.{_name}")


@export("python.util.tf_inspect.getargspec")
def getargspec(obj: Any) -> ArgSpec:
    """The arguments of a function, of what a decorator wraps, or of a partial application.

    Raises:
        ValueError: it has arguments that can only be given by name.
    """
    if not isinstance(obj, functools.partial):
        obj = inspect.unwrap(obj)
    if inspect.isclass(obj):
        obj = obj.__init__
    found = inspect.getfullargspec(obj)
    if found.kwonlyargs:
        raise ValueError(
            f"{obj!r} has arguments that can only be given by name, {found.kwonlyargs}: "
            "getfullargspec tells them"
        )
    return ArgSpec(found.args, found.varargs, found.varkw, found.defaults)


@export("python.util.all_util.make_all")
def make_all(module_name: str, doc_string_modules: Sequence[Any] | None = None) -> list[str]:
    """The names that docstrings list in lines `@@name`, as far as the module has them."""
    module = sys.modules[module_name]
    texts = [m.__doc__ or "" for m in (doc_string_modules or [module])]
    listed = {name for text in texts for name in re.findall(r"^@@(\w+)$", text, re.MULTILINE)}
    return sorted(listed & set(dir(module)))


@export("python.util.all_util.remove_undocumented")
def remove_undocumented(
    module_name: str,
    allowed_exception_list: Sequence[str] | None = None,
    doc_string_modules: Sequence[Any] | None = None,
) -> None:
    """Delete a module's names but private ones, those allowed and those of `make_all`."""
    kept = {*make_all(module_name, doc_string_modules), *(allowed_exception_list or ())}
    module = sys.modules[module_name]
    for name in [n for n in vars(module) if not n.startswith("_") and n not in kept]:
        delattr(module, name)


@export("python.tf2.enabled")
def enabled() -> bool:
    """False: programs get TensorFlow 1's behaviour."""
    return False


@export("python.client.device_lib.list_local_devices")
def list_local_devices(session_config: Any = None) -> list[Any]:
    """The devices of a session as DeviceAttributes messages, named `/device:GPU:0`.

    Args:
        session_config: ConfigProto, as for `tf.Session`.
    """
    with Session(config=session_config) as session:
        return [
            protos.DeviceAttributes(
                name=device.name[device.name.index("/device:") :],
                device_type=device.device_type,
                memory_limit=device.memory_limit_bytes,
                incarnation=device.incarnation % (1 << 64),
                physical_device_desc=device.physical_description or "",
            )
            for device in session._engine.devices.devices
        ]
