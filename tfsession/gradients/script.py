"""No gradient flows back through Python functions, unless `gradient_override_map` says how."""

from typing import Any, NoReturn

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.operation import Operation

no_gradient("PyFunc", "PyFuncStateless")


@gradient("EagerPyFunc")
def _eager_py_func(op: Operation, *grads: Any) -> NoReturn:
    raise NotImplementedError(
        f"The gradient of tf.py_function '{op.name}' is not known: its function computes with "
        "arrays. Say how it flows back with tf.RegisterGradient and "
        "Graph.gradient_override_map({'EagerPyFunc': ...}), or stop it with tf.stop_gradient"
    )
