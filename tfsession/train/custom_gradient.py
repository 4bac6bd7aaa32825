"""Functions that bring their own gradient: `tf.custom_gradient`."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from tfsession.core import nest
from tfsession.core.exports import export
from tfsession.gradients.engine import RegisterGradient
from tfsession.graph.create import convert_to_tensor
from tfsession.graph.graph import Graph, get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.graph.operation import Operation
from tfsession.ops.constant import identity, identity_n
from tfsession.ops.resource_variable import ResourceVariable

_numbers = itertools.count()


@export("custom_gradient")
def custom_gradient(f: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """The function, with a gradient that it gives itself.

    Args:
        f: None makes a decorator. The function gives its results, and a function of the gradients
            of these that gives those of its arguments. Where `f` uses variables, that function
            takes them as `variables`, and gives a pair: the gradients of the arguments, and a list
            of those of the variables.

    A call raises:
        ValueError: it has keyword arguments.
        TypeError: `f` uses variables that are no resource variables, or for which the gradient's
            function does not ask.
    """
    if f is None:
        return custom_gradient

    @wraps(f)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        if kwargs:
            raise ValueError(
                "The custom_gradient decorator currently supports keywords arguments only when "
                "eager execution is enabled."
            )
        return _called(f, args)

    return decorated


@export("grad_pass_through")
def grad_pass_through(f: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the gradient of the identity."""

    @custom_gradient
    def passing(*args: Any) -> Any:
        def grad(*gradients: Any, variables: Any = None) -> Any:
            back = gradients[0] if len(gradients) == 1 else gradients
            return (back, [None] * len(variables)) if variables is not None else back

        return f(*args), grad

    return passing


def _called(f: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    graph = get_default_graph()
    inputs = [identity(convert_to_tensor(leaf)) for leaf in nest.flatten(list(args))]
    before = len(graph.get_operations())
    result, grad_fn = f(*nest.pack(list(args), list(inputs)))
    results = [convert_to_tensor(leaf) for leaf in nest.flatten(result)]
    variables = _variables(graph, graph.get_operations()[before:])
    takes = signature(grad_fn).parameters
    takes_variables = "variables" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())
    if variables and not takes_variables:
        raise TypeError(
            "If using @custom_gradient with a function that uses variables, then grad_fn must "
            "accept a 'variables' keyword argument."
        )
    name = f"CustomGradient-{next(_numbers)}"

    @RegisterGradient(name)
    def _gradient(_: Operation, *gradients: Any) -> list[Any]:
        back = gradients[: len(results)]
        if variables:
            found, of_variables = grad_fn(*back, variables=variables)
            if len(of_variables) != len(variables):
                raise ValueError("Must return gradient for each variable from @custom_gradient")
        else:
            found, of_variables = grad_fn(*back), []
        found = nest.flatten(found)
        if len(found) != len(inputs):
            raise ValueError(
                f"custom_gradient function expected to return {len(inputs)} gradients, but "
                f"returned {len(found)} instead."
            )
        return [None] * len(results) + found + list(of_variables)

    everything = [*results, *inputs, *(variable.handle for variable in variables)]
    with graph.gradient_override_map({"IdentityN": name}):
        outputs = identity_n(everything)
    return nest.pack(result, outputs[: len(results)])


def _variables(graph: Graph, made: list[Operation]) -> list[Any]:
    """The trainable variables that operations read, in the order of their first use."""
    known = {v.op: v for v in graph.get_collection(GraphKeys.TRAINABLE_VARIABLES)}
    inputs = [t.op for op in made for t in op.inputs]
    # A reference variable is mostly read through one operation that was made with it.
    read = [op.inputs[0].op if op.type == "Identity" else op for op in inputs]
    found = [known[op] for op in dict.fromkeys(read) if op in known]
    if not all(isinstance(variable, ResourceVariable) for variable in found):
        raise TypeError(
            "All variables used by `f` wrapped with @custom_gradient must be `ResourceVariable`s. "
            "Ensure that no `variable_scope` is created with `use_resource=False`."
        )
    return found
