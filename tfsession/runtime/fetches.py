"""Fetches: from what a program asks for, however nested, to graph elements and back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from tfsession.core.errors import InaccessibleTensorError
from tfsession.graph.graph import Graph
from tfsession.graph.indexed_slices import IndexedSlices, IndexedSlicesValue
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor

Element = Tensor | Operation
# Makes (a part of) the user's structure out of the values of all elements.
Rebuild = Callable[[Sequence[Any]], Any]


class CompositeType(NamedTuple):
    """How objects of a type that stand for several tensors are fetched and fed.

    `components(value)` gives what to fetch for it; `contract(values)` makes the fetched object.
    """

    type: type
    components: Callable[[Any], Sequence[Any]]
    contract: Callable[[list[Any]], Any]


_composite_types: list[CompositeType] = []


def register_fetch_type(
    cls: type,
    components: Callable[[Any], Sequence[Any]],
    contract: Callable[[list[Any]], Any],
) -> None:
    """Let sessions fetch and feed objects of `cls`, which stand for several tensors.

    Args:
        cls: the type, subclasses included.
        components: gives the tensors of an object; a value to feed is a sequence in their order.
        contract: makes the fetched object from the fetched components.
    """
    _composite_types.insert(0, CompositeType(cls, components, contract))


def composite_type_of(value: Any) -> CompositeType | None:
    """How `value` is fetched and fed if it stands for several tensors, else None."""
    for composite in _composite_types:
        if isinstance(value, composite.type):
            return composite
    return None


class FetchMap:
    """The elements that a fetch structure names, each once, and the way back to the structure."""

    def __init__(self, graph: Graph, fetches: Any) -> None:
        self._graph = graph
        self._slots: dict[Element, int] = {}
        self.rebuild: Rebuild = self._map(fetches)
        self.elements: list[Element] = list(self._slots)

    def _map(self, fetch: Any) -> Rebuild:
        if isinstance(fetch, Tensor | Operation | str):
            return self._element(fetch)
        if fetch is None:
            raise TypeError('Argument `fetch` = None has invalid type "NoneType". Cannot be None')
        if isinstance(fetch, list | tuple):
            return self._sequence(fetch)
        if isinstance(fetch, Mapping):
            return self._mapping(fetch)
        fields = getattr(type(fetch), "__attrs_attrs__", None)
        if fields is not None:
            parts = [self._map(getattr(fetch, field.name)) for field in fields]
            return _calling(type(fetch), parts)
        composite = composite_type_of(fetch)
        if composite is not None:
            parts = [self._element(part) for part in composite.components(fetch)]
            contract = composite.contract
            return lambda values: contract([part(values) for part in parts])
        return self._element(fetch)

    def _sequence(self, fetch: list[Any] | tuple[Any, ...]) -> Rebuild:
        parts = [self._map(item) for item in fetch]
        if isinstance(fetch, list):
            return lambda values: [part(values) for part in parts]
        if type(fetch) is tuple:
            return lambda values: tuple([part(values) for part in parts])
        return _calling(type(fetch), parts)

    def _mapping(self, fetch: Mapping[Any, Any]) -> Rebuild:
        cls: Any = type(fetch)
        keys = list(fetch)
        parts = [self._map(fetch[key]) for key in keys]
        first = (fetch.default_factory,) if isinstance(fetch, defaultdict) else ()

        def rebuild(values: Sequence[Any]) -> Any:
            pairs = ((key, part(values)) for key, part in zip(keys, parts, strict=True))
            return cls(*first, pairs)

        return rebuild

    def _element(self, fetch: Any) -> Rebuild:
        try:
            element = self._graph.as_graph_element(fetch)
        except TypeError as error:
            raise TypeError(
                f'Argument `fetch` = {fetch} has invalid type "{type(fetch).__name__}" must be a '
                f"string or Tensor. ({error})"
            ) from None
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"Argument `fetch` = {fetch} cannot be interpreted as a Tensor. ({error})"
            ) from None
        if not self._graph.is_fetchable(element):
            op = element.op if isinstance(element, Tensor) else element
            raise InaccessibleTensorError(
                f"Operation {op.name} has been marked as not fetchable. Such an operation belongs "
                "to a block of its own, as a branch of a conditional or the body of a loop."
            )
        slot = self._slots.setdefault(element, len(self._slots))
        if isinstance(element, Tensor) and element.dtype.is_quantized:
            # Their values lie in structures of one field: the plain integers come out.
            field = element.dtype.base_dtype.name
            return lambda values: values[slot][field]
        return itemgetter(slot)


def _calling(cls: Callable[..., Any], parts: Iterable[Rebuild]) -> Rebuild:
    parts = list(parts)
    return lambda values: cls(*[part(values) for part in parts])


def _slices_components(slices: IndexedSlices) -> list[Any]:
    parts = [slices.values, slices.indices, slices.dense_shape]
    return parts if slices.dense_shape is not None else parts[:2]


register_fetch_type(
    IndexedSlices,
    _slices_components,
    lambda values: IndexedSlicesValue(*values, *([None] * (3 - len(values)))),
)
