"""Fetches: from what a program asks for, however nested, to graph elements and back."""

from __future__ import annotations

import re
import weakref
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
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
# Makes the user's structure out of the values of all elements.
Rebuild = Callable[[list[Any]], Any]


_SLOT = re.compile(r"([@#])(\d+)")
_ALONE = re.compile(r"@(\d+)")
_FORMS = {"@": "v[{}]", "#": "{}"}
# Structures in structures that one expression holds: Python's parser takes some more.
_DEPTH = 24
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
        self._names: dict[str, Any] = {}
        self._inner: list[str] = []
        self._text = self._map(fetches, 1)
        self.elements: list[Element] = list(self._slots)

    def rebuild_from(self, places: Sequence[int] | None = None) -> Rebuild:
        """Makes the structure out of values: that of element number `i` stands at `places[i]`.

        Without `places` they stand in the order of `elements`.
        """
        order = range(len(self.elements)) if places is None else places
        names = dict(self._names)

        def compiled(text: str) -> Rebuild:
            text = _SLOT.sub(lambda found: _FORMS[found[1]].format(order[int(found[2])]), text)
            # Of this file, so that tracebacks of operations leave it out with the package.
            function: Rebuild = eval(compile(f"lambda v: {text}", __file__, "eval"), names)
            return function

        alone = _ALONE.fullmatch(self._text)
        if alone:
            return itemgetter(order[int(alone[1])])
        for number, text in enumerate(self._inner):
            names[f"inner{number}"] = compiled(text)
        return compiled(self._text)

    def _bind(self, value: Any) -> str:
        """A name for a value in the text of `rebuild_from`."""
        name = f"x{len(self._names)}"
        self._names[name] = value
        return name

    def _map(self, fetch: Any, depth: int) -> str:
        """The expression that makes (a part of) the structure.

        In it `@i` stands for the value of element number `i`, `#i` for its place.
        """
        text = self._expression(fetch, depth + 1)
        if depth % _DEPTH:
            return text
        self._inner.append(text)
        return f"inner{len(self._inner) - 1}(v)"

    def _expression(self, fetch: Any, depth: int) -> str:
        if isinstance(fetch, Tensor | Operation | str):
            return self._element(fetch)
        if fetch is None:
            raise TypeError('Argument `fetch` = None has invalid type "NoneType". Cannot be None')
        if isinstance(fetch, list | tuple):
            return self._sequence(fetch, depth)
        if isinstance(fetch, Mapping):
            return self._mapping(fetch, depth)
        if is_attrs(fetch):
            parts = [self._map(part, depth) for part in attrs_values(fetch)]
            return f"{self._bind(fetch.__class__)}({', '.join(parts)})"
        composite = composite_type_of(fetch)
        if composite is not None:
            parts = [self._element(part) for part in composite.components(fetch)]
            return f"{self._bind(composite.contract)}([{', '.join(parts)}])"
        return self._element(fetch)

    def _sequence(self, fetch: list[Any] | tuple[Any, ...], depth: int) -> str:
        parts = ", ".join([self._map(item, depth) for item in fetch])
        if isinstance(fetch, list):
            return f"[{parts}]"
        # Of an object that stands for a tuple or a dict, the class is that of what it stands for.
        cls = fetch.__class__
        if cls is tuple:
            return f"({parts},)" if parts else "()"
        return f"{self._bind(cls)}({parts})"

    def _mapping(self, fetch: Mapping[Any, Any], depth: int) -> str:
        cls: Any = fetch.__class__
        pairs = [(self._bind(key), self._map(fetch[key], depth)) for key in fetch]
        if cls is dict:
            return f"{{{', '.join([f'{key}: {part}' for key, part in pairs])}}}"
        first = f"{self._bind(fetch.default_factory)}, " if isinstance(fetch, defaultdict) else ""
        listed = "".join([f"({key}, {part}), " for key, part in pairs])
        return f"{self._bind(cls)}({first}(pair for pair in ({listed})))"

    def _element(self, fetch: Any) -> str:
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
            return f"{self._bind(self._handles[element])}.eval()"
        slot = self._slots.setdefault(element, len(self._slots))
        if isinstance(element, Tensor) and element.op.type in HANDLE_OPS:
            return f"{self._bind(self._handle(element))}(v, #{slot})"
        if isinstance(element, Tensor) and element.dtype.is_quantized:
            # Their values lie in structures of one field: the plain integers come out.
            return f"@{slot}[{element.dtype.base_dtype.name!r}]"
        return f"@{slot}"

    def _handle(self, tensor: Tensor) -> Callable[[list[Any], int], TensorHandle]:
        dtype, session = tensor.op.inputs[0].dtype.base_dtype, self._session

        def handle(values: list[Any], place: int) -> TensorHandle:
            # One handle however often it is fetched: with it dies what it stands for.
            if type(values[place]) is not TensorHandle:
                values[place] = TensorHandle(values[place], dtype, session())
            return values[place]  # type: ignore[no-any-return]

        return handle


def is_attrs(value: Any) -> bool:
    """Whether `value` is an instance of an `attrs` class."""
    return getattr(value.__class__, "__attrs_attrs__", None) is not None


def attrs_values(value: Any) -> list[Any]:
    """The values of the fields of an instance of an `attrs` class, in order."""
    return [getattr(value, field.name) for field in value.__class__.__attrs_attrs__]
