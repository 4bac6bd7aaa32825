"""Datasets of Python generators, which the host calls element by element."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tfsession.core import protos
from tfsession.core.dtypes import int64, string
from tfsession.core.shape import TensorShape, is_compatible
from tfsession.graph.create import create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.dataset_structure import ElementSpec, components_of
from tfsession.ops.defun import DefinedFunction
from tfsession.ops.script import py_func


class GeneratorState:
    """A generator function, and the generators of it that are under way, by number.

    Args:
        generator: gives an iterable of elements.
        spec: what the elements must be.
    """

    def __init__(self, generator: Callable[..., Any], spec: ElementSpec) -> None:
        self._generator = generator
        self._spec = spec
        self._numbers = itertools.count()
        self._running: dict[int, Iterator[Any]] = {}

    def dataset(self, values: Sequence[Tensor]) -> Tensor:
        """The variant of a dataset whose generators get these values."""
        spec = self._spec

        def begin(*arguments: Tensor) -> Tensor:
            number: Tensor = py_func(self._begin, list(arguments), int64)
            number.set_shape([])
            return number

        def advance(number: Tensor) -> list[Tensor]:
            components: list[Tensor] = py_func(self._advance, [number], spec.dtypes)
            for tensor, shape in zip(components, spec.shapes, strict=True):
                tensor.set_shape(shape)
            return components

        def end(number: Tensor) -> Tensor:
            return py_func(self._end, [number], int64)  # type: ignore[no-any-return]

        types = [value.dtype.base_dtype for value in values]
        functions = {
            "init_func": DefinedFunction(begin, [], types),
            "next_func": DefinedFunction(advance, ["number"], [int64]),
            "finalize_func": DefinedFunction(end, ["number"], [int64]),
        }
        attrs: dict[str, Any] = dict(spec.attrs)
        for name, function in functions.items():
            function.add_to_graph()
            attrs[name] = protos.NameAttrList(name=function.name)
        variant: Tensor = create_op("GeneratorDataset", [list(values), [], []], attrs)
        return variant

    # --- called by steps ------------------------------------------------------------------------

    def _begin(self, *values: Any) -> Any:
        number = next(self._numbers)
        self._running[number] = iter(self._generator(*values))
        return np.int64(number)

    def _advance(self, number: Any) -> list[Any]:
        element = next(self._running[int(number)])
        spec = self._spec
        if isinstance(element, list) and len(spec.dtypes) > 1:
            element = tuple(element)
        flat = components_of(element) if isinstance(spec.structure, tuple | dict) else [element]
        if len(flat) != len(spec.dtypes):
            raise TypeError(
                "`generator` yielded an element that did not match the expected structure. The "
                f"expected structure was {spec.types}, but the yielded element was {element}."
            )
        arrays = []
        for value, dtype, shape in zip(flat, spec.dtypes, spec.shapes, strict=True):
            try:
                array = np.asarray(value, object if dtype is string else dtype.numpy)
            except (TypeError, ValueError):
                raise TypeError(
                    "`generator` yielded an element that could not be converted to the expected "
                    f"type. The expected type was {dtype.name}, but the yielded element was "
                    f"{value}."
                ) from None
            if not is_compatible(array.shape, shape):
                raise TypeError(
                    f"`generator` yielded an element of shape {array.shape} where an element of "
                    f"shape {TensorShape.from_tuple(shape)} was expected."
                )
            arrays.append(array)
        return arrays

    def _end(self, number: Any) -> Any:
        generator = self._running.pop(int(number), None)
        close = getattr(generator, "close", None)
        if close is not None:
            close()
        return np.int64(0)
