"""A run call made ready: which plan it needs, and how its values go in and come out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from tfsession.core import dtypes
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.execute import Engine
from tfsession.runtime.feeds import Converter, converter, encode_strings
from tfsession.runtime.fetches import FetchMap, composite_type_of
from tfsession.runtime.plan import Signature

# Takes the converted feed values, gives what the user gets.
Execute = Callable[[Sequence[Any]], Any]

_by_name = attrgetter("name")


def structure_key(fetch: Any) -> Any:
    """A hashable key that is equal for fetches that are fetched and given back alike.

    Raises:
        TypeError: there is none, because a part has a type that is not known well enough.
    """
    kind = type(fetch)
    if kind is list or kind is tuple or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return (kind, *[structure_key(part) for part in fetch])
    if kind is dict or kind is OrderedDict:
        parts = [structure_key(part) for part in fetch.values()]
        return (kind, *fetch, *map(type, fetch), *parts)
    if is_leaf(fetch) or composite_type_of(fetch) is not None:
        return fetch
    raise TypeError(f"A {kind.__name__} has no structure key")


def is_leaf(value: Any) -> bool:
    """Whether `value` stands for one graph element, if for anything."""
    return type(value) in _LEAF_TYPES or (
        hasattr(value, "_as_graph_element") and not isinstance(value, tuple)
    )


_LEAF_TYPES = frozenset({Tensor, Operation, str, bytes})


class Step(NamedTuple):
    """One signature of `run`: a converter for each feed in the caller's order, then the rest."""

    converters: tuple[Converter, ...]
    execute: Execute


def make_step(engine: Engine, fetch_map: FetchMap, feeds: dict[Tensor, Any]) -> Step:
    """Compile or find the plan of a run call.

    Args:
        engine: runs the plan.
        fetch_map: what is fetched.
        feeds: the fed tensors in the caller's order, with the keys that named them.

    Raises:
        InvalidArgumentError: an operation of the graph cannot be placed.
        CancelledError: the engine is closed.
    """
    elements = fetch_map.elements
    converters = tuple([converter(tensor, key) for tensor, key in feeds.items()])
    tensors = [e for e in elements if isinstance(e, Tensor) and e not in feeds]
    # Sorted, so that programs that ask in another order do not compile again.
    fetched = sorted(tensors, key=_by_name)
    targets = sorted((e for e in elements if isinstance(e, Operation)), key=_by_name)
    fed = sorted(feeds, key=_by_name)
    needs_plan = bool(fetched or targets)
    signature = Signature(tuple(fetched), tuple(targets), tuple(fed), (None,) * len(fed))
    run: Callable[[Sequence[Any]], list[Any]] = (
        engine.plan(signature).run if needs_plan else lambda values: []
    )
    rebuild = fetch_map.rebuild
    texts = [i for i, tensor in enumerate(fed) if tensor.dtype.base_dtype is dtypes.string]
    if not texts and fetched == elements and fed == list(feeds):
        return Step(converters, lambda values: rebuild(run(values)))
    order = {tensor: i for i, tensor in enumerate(feeds)}
    into_plan = [order[tensor] for tensor in fed]
    # The values of the elements stand in the plan's results, then the feeds, then None.
    places = {tensor: i for i, tensor in enumerate(fetched)}
    places |= {tensor: len(fetched) + i for i, tensor in enumerate(feeds)}
    nothing = len(fetched) + len(feeds)
    element_places = [places[e] if isinstance(e, Tensor) else nothing for e in elements]

    def execute(values: Sequence[Any]) -> Any:
        arguments = [values[i] for i in into_plan]
        if needs_plan:
            for i in texts:
                arguments[i] = encode_strings(arguments[i])
        pool = [*run(arguments), *values, None]
        return rebuild([pool[i] for i in element_places])

    return Step(converters, execute)
