"""Functions of elements of datasets: what `Dataset.map` and its like call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core import protos
from tfsession.graph.tensor import Tensor
from tfsession.ops.dataset_structure import (
    ElementSpec,
    OfElements,
    components_of,
    converted,
    packed,
    tensors_of,
)
from tfsession.ops.defun import DefinedFunction


class ElementFunction:
    """A Python function as one of the graph.

    Args:
        func: takes an element: the parts of a tuple one by one, anything else as it is; gives a
            structure of tensors.
        spec: of the elements.
        name: begins that of the function in the graph.
        convert: makes of what `func` gives a structure of tensors.
        by_rows: give sparse tensors as their rows.
    """

    def __init__(
        self,
        func: Callable[..., Any],
        spec: ElementSpec,
        name: str,
        convert: Callable[[Any], Any] | None = None,
        by_rows: bool = False,
    ) -> None:
        self.result: Any = None

        def body(*flat: Tensor) -> list[Tensor]:
            for tensor, shape in zip(flat, spec.shapes, strict=True):
                tensor.set_shape(shape)
            element = spec.element(flat)
            result = func(*element) if type(element) is tuple else func(element)
            result = tuple(result) if isinstance(result, list) else result
            if convert is not None:
                result = convert(result)
            self.result = packed(result, [converted(v) for v in components_of(result)])
            return tensors_of(self.result, by_rows)

        names = [f"args_{i}" for i in range(len(spec.dtypes))]
        body.__name__ = f"Dataset_{name}_{getattr(func, '__name__', 'function')}".replace(
            "<lambda>", "lambda"
        )
        self._function = DefinedFunction(body, names, spec.dtypes)
        self._function.add_to_graph()

    @property
    def spec(self) -> ElementSpec:
        """What is known of its results."""
        return ElementSpec.of(self.result)

    @property
    def attr(self) -> Any:
        """The function as an attribute of operations."""
        return protos.NameAttrList(name=self._function.name)

    @property
    def captured(self) -> list[Tensor]:
        """What it reads beside elements."""
        return self._function.captured_here()


def dataset_function(
    map_func: Callable[..., Any], spec: ElementSpec, name: str, takes: str = "map_func"
) -> tuple[ElementFunction, ElementSpec]:
    """A function that gives a dataset, and what is known of the elements of that.

    Raises:
        TypeError: it gives something else.
    """
    found: list[ElementSpec] = []

    def convert(result: Any) -> Any:
        if not isinstance(result, OfElements) or result._variant_tensor is None:
            raise TypeError(
                f"The `{takes}` argument must return a `Dataset` object. Got {type(result)!r}."
            )
        found.append(result._spec)
        return result._variant_tensor

    function = ElementFunction(map_func, spec, name, convert)
    return function, found[0]
