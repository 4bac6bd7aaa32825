"""Fetches: from what a program asks for, however nested, to graph elements and back."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping
from operator import itemgetter
from types import MappingProxyType
from typing import Any, Final

from tfsession.core.errors import InaccessibleTensorError
from tfsession.graph.composite import composite_type_of
from tfsession.graph.graph import Graph
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.graph.tensor_handle import HANDLE_OPS, TensorHandle

Element = Tensor | Operation
# Makes (a part of) the user's structure out of the values of all elements.
Rebuild = Callable[[list[Any]], Any]


_NO_HANDLES: Final[Mapping[Tensor, TensorHandle]] = MappingProxyType({})


class FetchMap:
    """The elements that a fetch structure names, each once, and the way back to the structure."""

    def __init__(
        self,
        graph: Graph,
        fetches: Any,
        session: Any = None,
        handles: Mapping[Tensor, TensorHandle] = _NO_HANDLES,
    ) -> None:
        """Look the elements up.

        Args:
            graph: the graph of the elements.
            fetches: the structure.
            session: keeps the tensors whose handles are fetched.
            handles: what is fed for some tensors: to fetch such a tensor gives the handle's value.
        """
        self._graph = graph
        # A step, which its session keeps, must not keep the session.
        self._session = (lambda: None) if session is None else weakref.ref(session)
        self._handles = handles
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
        if is_attrs(fetch):
            return _calling(fetch.__class__, list(map(self._map, attrs_values(fetch))))
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
        # Of an object that stands for a tuple or a dict, the class is that of what it stands for.
        cls = fetch.__class__
        if cls is tuple:
            return lambda values: tuple([part(values) for part in parts])
        return _calling(cls, parts)

    def _mapping(self, fetch: Mapping[Any, Any]) -> Rebuild:
        cls: Any = fetch.__class__
        keys = list(fetch)
        parts = [self._map(fetch[key]) for key in keys]
        first = (fetch.default_factory,) if isinstance(fetch, defaultdict) else ()

        def rebuild(values: list[Any]) -> Any:
            pairs = ((key, part(values)) for key, part in zip(keys, parts, strict=True))
            return cls(*first, pairs)

        if cls is dict:
            return lambda values: dict(zip(keys, [part(values) for part in parts], strict=True))
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
        if isinstance(element, Tensor) and element in self._handles:
            handle = self._handles[element]
            return lambda values: handle.eval()
        slot = self._slots.setdefault(element, len(self._slots))
        if isinstance(element, Tensor) and element.op.type in HANDLE_OPS:
            return self._handle(element, slot)
        if isinstance(element, Tensor) and element.dtype.is_quantized:
            # Their values lie in structures of one field: the plain integers come out.
            field = element.dtype.base_dtype.name
            return lambda values: values[slot][field]
        return itemgetter(slot)

    def _handle(self, tensor: Tensor, slot: int) -> Rebuild:
        dtype, session = tensor.op.inputs[0].dtype.base_dtype, self._session

        def handle(values: list[Any]) -> TensorHandle:
            # One handle however often it is fetched: with it dies what it stands for.
            if type(values[slot]) is not TensorHandle:
                values[slot] = TensorHandle(values[slot], dtype, session())
            return values[slot]  # type: ignore[no-any-return]

        return handle


def is_attrs(value: Any) -> bool:
    """Whether `value` is an instance of an `attrs` class."""
    return getattr(value.__class__, "__attrs_attrs__", None) is not None


def attrs_values(value: Any) -> list[Any]:
    """The values of the fields of an instance of an `attrs` class, in order."""
    return [getattr(value, field.name) for field in value.__class__.__attrs_attrs__]


def _calling(cls: Callable[..., Any], parts: list[Rebuild]) -> Rebuild:
    return lambda values: cls(*[part(values) for part in parts])
