"""`Defun`: a Python function as a function of the graph, called by a node of its own."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from tfsession.core import protos
from tfsession.core.attr_value import to_attr_value
from tfsession.core.dtypes import DType, as_dtype
from tfsession.core.op_def_proto import op_def_from_proto
from tfsession.core.shape import to_shape
from tfsession.graph.build import build_operation
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.function_def import to_function_def
from tfsession.graph.function_graph import FunctionGraph
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.loaded import marks_within
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.ops.resource_variable import ResourceVariable
from tfsession.ops.variable_scope import get_variable_scope, variable_scope
from tfsession.ops.variable_store import STORE_KEY


class Defun:
    """A decorator: the function's body becomes a FunctionDef, a call of it one operation.

    Args:
        input_types: the dtypes of the arguments; without them, those of each call count, and there
            is one FunctionDef for each list of them.
        func_name: the name in the graph; made of the Python function's and its body if not given.
        grad_func: another such function, which takes the inputs and the gradients of the outputs
            and gives the gradients of the inputs.
        python_grad_func: `f(op, *grads)` instead, called when gradients are built.
        out_names: names of the results.
        shape_func: `f(op)` gives the static shapes of a call's outputs.
        capture_by_value: copy into the body what it reads from outside, instead of passing it.
        capture_resource_var_by_value: read resource variables outside, and pass their values.
        kwargs: attributes of the function, such as `noinline`.

    Raises:
        ValueError: the function has defaults or keyword arguments, or takes another number of
            arguments.

    Example:
        `@Defun(tf.float32) def double(x): return 2 * x` and then `y = double(tf.constant(1.0))`
    """

    def __init__(self, *input_types: Any, **kwargs: Any) -> None:
        self._types = [as_dtype(dtype) for dtype in input_types]
        self._kwargs = kwargs

    def __call__(self, func: Callable[..., Any]) -> Any:
        """The function of the graph."""
        if not callable(func):
            raise ValueError(f"Function {func} must be a callable.")
        spec = inspect.getfullargspec(func)
        if spec.varkw or spec.defaults or spec.kwonlyargs:
            raise ValueError(
                "Functions with argument defaults or keywords arguments are not supported. "
                f"{func} has defaults {spec.defaults} and keywords {spec.varkw}."
            )
        names = spec.args[inspect.ismethod(func) :]
        most = float("inf") if spec.varargs else len(names)
        if self._types and not len(names) <= len(self._types) <= most:
            raise ValueError(
                "The number of tf.function input types is not compatible with the allowed "
                f"arguments of {func}: {len(self._types)} types for {len(names)} to {most} "
                "arguments."
            )
        if self._types or most == 0:
            return DefinedFunction(func, names, self._types, **self._kwargs)
        return OverloadedFunction(func, names, **self._kwargs)


class OverloadedFunction:
    """A function that is defined anew for each list of types that it is called with."""

    def __init__(
        self,
        func: Callable[..., Any],
        names: Sequence[str],
        func_name: str | None = None,
        grad_func: OverloadedFunction | None = None,
        **kwargs: Any,
    ) -> None:
        self._func = func
        self._names = names
        self._func_name = func_name
        self._grad_func = grad_func
        self._kwargs = kwargs
        self._defined: dict[tuple[DType, ...], DefinedFunction] = {}

    def instantiate(self, input_types: Sequence[Any]) -> DefinedFunction:
        """The function for inputs of these types."""
        types = tuple([as_dtype(dtype).base_dtype for dtype in input_types])
        defined = self._defined.get(types)
        if defined is None:
            name = self._func_name
            if name is not None:
                name = "_".join([name, *(dtype.name for dtype in types)])
            defined = DefinedFunction(self._func, self._names, types, name, **self._kwargs)
            if self._grad_func is not None:
                gradient = self._grad_func.instantiate([*types, *defined.output_types])
                defined.set_grad_func(gradient)
            self._defined[types] = defined
        return defined

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function for the types of the arguments."""
        tensors = [convert_to_tensor(value) for value in args]
        return self.instantiate([tensor.dtype for tensor in tensors])(*tensors, **kwargs)


class DefinedFunction:
    """A function of graphs; its body is built when it is first needed, and then stays."""

    def __init__(
        self,
        func: Callable[..., Any],
        argnames: Sequence[str],
        input_types: Sequence[DType],
        func_name: str | None = None,
        grad_func: DefinedFunction | None = None,
        python_grad_func: Callable[..., Any] | None = None,
        out_names: Sequence[str] | None = None,
        shape_func: Callable[[Operation], Sequence[Any]] | None = None,
        capture_by_value: bool = False,
        allowlisted_stateful_ops: Any = None,
        capture_resource_var_by_value: bool = True,
        **attrs: Any,
    ) -> None:
        self._func = func
        self._types = [as_dtype(dtype) for dtype in input_types]
        self._names = [
            argnames[i] if i < len(argnames) else f"arg{i}" for i in range(len(self._types))
        ]
        self._func_name = func_name
        self._grad_func = grad_func
        self._python_grad_func = python_grad_func
        self._out_names = out_names
        self._shape_func = shape_func
        self._by_value = capture_by_value
        self._reads_outside = capture_resource_var_by_value
        self._attrs = attrs
        self._definition: Any = None
        self._captured: list[Tensor] = []
        self._library: dict[str, Any] = {}
        self._loaded: dict[str, Any] = {}
        self._stateful_ops: list[tuple[str, str]] = []

    @property
    def name(self) -> str:
        """Its name in the graph."""
        return str(self.definition.signature.name)

    @property
    def definition(self) -> Any:
        """The FunctionDef."""
        if self._definition is None:
            self._build()
        return self._definition

    @property
    def declared_input_types(self) -> list[DType]:
        """The dtypes of the arguments, without what the body reads from outside."""
        return self._types

    @property
    def output_types(self) -> list[DType]:
        """The dtypes of the results."""
        return [as_dtype(result.type) for result in self.definition.signature.output_arg]

    @property
    def captured_inputs(self) -> list[Tensor]:
        """The tensors outside that the body reads: every call passes them."""
        assert self.definition is not None
        return self._captured

    @property
    def stateful_ops(self) -> list[tuple[str, str]]:
        """Names and types of the operations of the body that have state."""
        assert self.definition is not None
        return self._stateful_ops

    @property
    def grad_func_name(self) -> str | None:
        """The name of the function that gives its gradients, if one was given."""
        return None if self._grad_func is None else self._grad_func.name

    @property
    def python_grad_func(self) -> Callable[..., Any] | None:
        """The Python function that builds its gradients, if one was given."""
        return self._python_grad_func

    def set_grad_func(self, grad_func: DefinedFunction) -> None:
        """Give it a function for its gradients, once."""
        assert self._grad_func is None
        self._grad_func = grad_func

    def add_to_graph(self, g: Any = None) -> None:
        """Put the definition, and those that it needs, into the library of a graph."""
        graph = g or get_default_graph()
        definition = self.definition
        known = graph._functions.setdefault(self.name, definition)
        if known != definition:
            raise ValueError(
                f"Cannot add function '{self.name}' because a different function with the same "
                "name already exists."
            )
        for name, message in self._library.items():
            graph._functions.setdefault(name, message)
        graph._loaded_functions.update(self._loaded)
        if self._grad_func is not None:
            self._grad_func.add_to_graph(graph)
            graph._function_gradients[self.name] = protos.GradientDef(
                function_name=self.name, gradient_func=self._grad_func.name
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A call: the operation's one output, its outputs, or itself if there are none.

        Args:
            args: the arguments.
            kwargs: `name` of the operation; other attributes of the call.
        """
        op = self._call(list(args), self.captured_here(), **kwargs)
        if not op.outputs:
            return op
        return op.outputs[0] if len(op.outputs) == 1 else list(op.outputs)

    def call_with(self, args: Sequence[Any], captured: list[Tensor]) -> list[Tensor]:
        """The results of a call that passes other tensors for what the body reads outside."""
        return list(self._call(args, captured).outputs)

    def captured_here(self) -> list[Tensor]:
        """What the body reads from outside, as tensors of the default graph."""
        graph = get_default_graph()
        if isinstance(graph, FunctionGraph):
            return [graph.capture(tensor) for tensor in self.captured_inputs]
        return self.captured_inputs

    def _call(
        self, args: Sequence[Any], captured: list[Tensor], name: str | None = None, **attrs: Any
    ) -> Operation:
        if len(args) != len(self._types):
            raise ValueError(
                f"Expected number of arguments: {len(self._types)}, received: {len(args)}"
            )
        graph = get_default_graph()
        self.add_to_graph(graph)
        tensors = [convert_to_tensor(a, t) for a, t in zip(args, self._types, strict=True)]
        if isinstance(graph, FunctionGraph):
            tensors = [graph.capture(tensor) for tensor in tensors]
        op_def = op_def_from_proto(self.definition.signature)
        unique = graph.node_name(name or self.name)
        own = {f"_{key}": value for key, value in attrs.items()}
        op = build_operation(graph, op_def, unique, (*tensors, *captured), own)
        if self._python_grad_func is not None:
            graph._python_gradients[op.name] = self._python_grad_func
        if self._shape_func is not None:
            shapes = list(self._shape_func(op))
            if len(shapes) != len(op.outputs):
                raise ValueError(
                    f"shape_func {self._shape_func} produced {len(shapes)} shapes, which does not "
                    f"match {len(op.outputs)} outputs."
                )
            for tensor, shape in zip(op.outputs, shapes, strict=True):
                tensor.set_shape(to_shape(shape))
        return op

    # --- building -------------------------------------------------------------------------------

    def _build(self) -> None:
        outer = get_default_graph()
        body = FunctionGraph(outer, self._by_value)
        # Variables are the outer graph's, under the names that they have there.
        for key in (*GraphKeys._VARIABLE_COLLECTIONS, STORE_KEY):
            body._collections[key] = outer.get_collection_ref(key)
        scope = get_variable_scope()
        with body.under_construction():
            arguments = [
                body.argument(name, dtype)
                for name, dtype in zip(self._names, self._types, strict=True)
            ]
            with variable_scope(scope, custom_getter=self._hoisted(outer)):
                results = self._func(*arguments)
            results = [] if results is None else results
            results = list(results) if isinstance(results, list | tuple) else [results]
            if any(result is None for result in results):
                raise ValueError(f"Function {self._func.__name__} can not return None.")
            outputs = [body.capture(convert_to_tensor(result)) for result in results]
        self._captured, inner = body.outer_captures()
        inputs = {t.op.name: t for t in (*arguments, *inner)}
        placeholders = {tensor.op for tensor in inputs.values()}
        operations = [op for op in body.get_operations() if op not in placeholders]
        message = to_function_def(
            "", operations, inputs, dict(zip(self._result_names(outputs), outputs, strict=True))
        )
        for key, value in self._attrs.items():
            message.attr[f"_{key}"].CopyFrom(to_attr_value(value, None))
        if self._func.__doc__:
            message.signature.description = self._func.__doc__
        message.signature.name = self._func_name or self._name_of(message)
        self._stateful_ops = [(op.name, op.type) for op in operations if op.op_def.is_stateful]
        self._library = body._functions
        self._loaded = marks_within(body, message.signature.name)
        self._definition = message

    def _result_names(self, outputs: Sequence[Tensor]) -> list[str]:
        if self._out_names:
            return list(self._out_names)
        names: list[str] = []
        for tensor in outputs:
            name = tensor.op.name.rpartition("/")[2].lower()
            number, unique = 0, name
            while unique in names:
                unique = f"{name}_{number}"
                number += 1
            names.append(unique)
        return names

    def _name_of(self, message: Any) -> str:
        """The Python function's name, and what tells its body from others."""
        name = getattr(self._func, "__name__", type(self._func).__name__)
        name = "lambda" if name == "<lambda>" else name
        if self._grad_func is not None:
            name = f"{name}_{self._grad_func.name}"
        text = message.SerializeToString(deterministic=True)
        return f"{name}_{zlib.crc32(text):08x}"

    def _hoisted(self, outer: Any) -> Callable[..., Any]:
        def getter(getter: Callable[..., Any], name: str, *args: Any, **kwargs: Any) -> Any:
            with outer.as_default(), outer.name_scope(None):
                variable = getter(name, *args, **kwargs)
                if isinstance(variable, ResourceVariable) and self._reads_outside:
                    return variable.value()
            return variable

        return getter
