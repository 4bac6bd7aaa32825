"""A tensor that is built anew wherever it is used, as the losses of regularizers are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.graph.create import convert_to_tensor, register_tensor_conversion_function
from tfsession.graph.tensor import Tensor
from tfsession.ops.variables import give_operators


class DeferredTensor:
    """Stands for what a function builds: once to be fetched and asked, then for each use.

    Args:
        build: makes the tensor.
    """

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build
        self._first = build()

    def value(self) -> Tensor:
        """The tensor, built anew."""
        return convert_to_tensor(self._build())

    def eval(self, feed_dict: Any = None, session: Any = None) -> Any:
        """The value of the tensor that was built first; see `Tensor.eval`."""
        return self._first.eval(feed_dict, session)

    def __getattr__(self, name: str) -> Any:
        if name in ("device", "dtype", "get_shape", "graph", "name", "op", "shape", "value_index"):
            return getattr(self._first, name)
        raise AttributeError(f"'DeferredTensor' object has no attribute '{name}'")

    def _as_graph_element(self) -> Any:
        return self._first


def _to_tensor(
    deferred: DeferredTensor, dtype: Any = None, name: str | None = None, as_ref: bool = False
) -> Tensor:
    return convert_to_tensor(deferred.value(), dtype)


give_operators(DeferredTensor)
register_tensor_conversion_function(DeferredTensor, _to_tensor)
