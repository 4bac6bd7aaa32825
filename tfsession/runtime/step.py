"""A run call made ready: which plan it needs, and how its values go in and come out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

from tfsession.core import dtypes
from tfsession.devices.transfer import Memory
from tfsession.graph.composite import composite_type_of
from tfsession.graph.operation import Operation
from tfsession.graph.tensor import Tensor
from tfsession.runtime.control import StepControl
from tfsession.runtime.execute import Engine
from tfsession.runtime.feeds import Converter, converter, encode_strings, resident_converter
from tfsession.runtime.fetches import FetchMap, attrs_values, is_attrs
from tfsession.runtime.plan import Plan, Signature

# Takes the converted feed values, gives what the user gets.
Execute = Callable[[Sequence[Any]], Any]
Run = Callable[[Sequence[Any]], list[Any]]

_by_name = attrgetter("name")
# First part of the keys of nested calls: no caller can have it.
_NESTED = object()


def structure_key(fetch: Any) -> Any:
    """A hashable key that is equal for fetches that are fetched and given back alike.

    Raises:
        TypeError: there is none, because a part has a type that is not known well enough.
    """
    kind = type(fetch)
    if kind in _LEAF_TYPES:
        return fetch
    if kind is list or kind is tuple or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return (kind, *_structure_keys(fetch))
    if kind is dict or kind is OrderedDict:
        return (kind, *fetch, *map(type, fetch), *_structure_keys(fetch.values()))
    if is_leaf(fetch):
        return fetch
    if is_attrs(fetch):
        return (kind, *map(structure_key, attrs_values(fetch)))
    composite = composite_type_of(fetch)
    if composite is not None:
        # Not the object: programs wrap the same tensors anew each time.
        return (composite.type, *map(structure_key, composite.components(fetch)))
    raise TypeError(f"A {kind.__name__} has no structure key")


def _structure_keys(fetches: Iterable[Any]) -> list[Any]:
    return [part if type(part) in _LEAF_TYPES else structure_key(part) for part in fetches]


def is_leaf(value: Any) -> bool:
    """Whether `value` stands for one graph element, if for anything."""
    return type(value) in _LEAF_TYPES or (
        hasattr(value, "_as_graph_element") and not isinstance(value, tuple)
    )


_LEAF_TYPES = frozenset({Tensor, Operation, str, bytes})


def nested_key(fetches: Any, feed_dict: Any) -> Any:
    """The key of a call with nested fetches; None where a call must be looked at each time.

    It may have no hash: then, too, the call must be looked at.
    """
    if feed_dict:
        if type(feed_dict) is not dict:
            return None
        if not (_LEAF_TYPES.issuperset(map(type, feed_dict)) or all(map(is_leaf, feed_dict))):
            return None
    try:
        return (_NESTED, structure_key(fetches), *(feed_dict or ()))
    except TypeError:
        return None


class Step(NamedTuple):
    """One signature of `run`: a converter for each feed in the caller's order, then the rest.

    `execute` runs it under the session's own terms, `bound` makes the same function for another
    way to run the plan; there is no plan when nothing has to run.
    """

    converters: tuple[Converter, ...]
    execute: Execute
    bound: Callable[[Run], Execute]
    plan: Plan | None

    def execute_under(self, values: Sequence[Any], control: StepControl) -> Any:
        """As `execute`, under given terms."""
        if self.plan is None:
            return self.execute(values)
        return self.bound(partial(self.plan.execute, control=control))(values)


def make_step(
    engine: Engine,
    fetch_map: FetchMap,
    feeds: Mapping[Tensor, Any],
    memories: Sequence[Memory] = (),
    on_device: bool = False,
) -> Step:
    """Compile or find the plan of a run call.

    Args:
        engine: runs the plan.
        fetch_map: what is fetched.
        feeds: the fed tensors in the caller's order, with the keys that named them.
        memories: where the value of each feed lies; all on the host if not given.
        on_device: leave fetched values on their devices.

    Raises:
        InvalidArgumentError: an operation of the graph cannot be placed.
        CancelledError: the engine is closed.
    """
    elements = fetch_map.elements
    memory_of = dict(zip(feeds, memories or [None] * len(feeds), strict=True))
    converters = tuple(
        [
            converter(tensor, key) if memory is None else resident_converter(tensor, memory)
            for (tensor, key), memory in zip(feeds.items(), memory_of.values(), strict=True)
        ]
    )
    tensors = [e for e in elements if isinstance(e, Tensor) and e not in feeds]
    # Sorted, so that programs that ask in another order do not compile again.
    fetched = sorted(tensors, key=_by_name)
    targets = sorted((e for e in elements if isinstance(e, Operation)), key=_by_name)
    fed = sorted(feeds, key=_by_name)
    plan: Plan | None = None
    run: Run = _run_nothing
    if fetched or targets:
        places = tuple([memory_of[tensor] for tensor in fed])
        signature = Signature(tuple(fetched), tuple(targets), tuple(fed), places, on_device)
        plan = engine.plan(signature)
        run = engine.runner(plan)
    bound = _binding(fetch_map, feeds, fetched, fed, plan is not None)
    return Step(converters, bound(run), bound, plan)


def _run_nothing(values: Sequence[Any]) -> list[Any]:
    return []


def _binding(
    fetch_map: FetchMap,
    feeds: Mapping[Tensor, Any],
    fetched: Sequence[Tensor],
    fed: Sequence[Tensor],
    needs_plan: bool,
) -> Callable[[Run], Execute]:
    """How the converted feeds get into a plan, and its results into the user's structure."""
    elements = fetch_map.elements
    texts = [i for i, tensor in enumerate(fed) if tensor.dtype.base_dtype is dtypes.string]
    if not texts and fed == list(feeds) and set(fetched) == set(elements):
        rebuild = fetch_map.rebuild_from(list(map(fetched.index, elements)))
        return lambda run: lambda values: rebuild(run(values))
    order = {tensor: i for i, tensor in enumerate(feeds)}
    into_plan = [order[tensor] for tensor in fed]
    # The values of the elements stand in the plan's results, then the feeds, then None.
    places = {tensor: i for i, tensor in enumerate(fetched)}
    places |= {tensor: len(fetched) + i for i, tensor in enumerate(feeds)}
    nothing = len(fetched) + len(feeds)
    rebuild = fetch_map.rebuild_from(
        [places[e] if isinstance(e, Tensor) else nothing for e in elements]
    )

    def bound(run: Run) -> Execute:
        def execute(values: Sequence[Any]) -> Any:
            arguments = [values[i] for i in into_plan]
            if needs_plan:
                for i in texts:
                    arguments[i] = encode_strings(arguments[i])
            return rebuild([*run(arguments), *values, None])

        return execute

    return bound
