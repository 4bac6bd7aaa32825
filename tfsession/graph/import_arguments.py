"""The arguments of `import_graph_def`: checked, and names in them taken apart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tfsession.core import protos
from tfsession.graph.conversion import convert_to_tensor
from tfsession.graph.graph import Graph
from tfsession.graph.tensor import Tensor

# The index of what is no output but the operation itself.
CONTROL: Final = -1

# An end of an edge: a node's name with the index of an output, or with CONTROL.
Source = tuple[str, int]


def as_graph_def(value: Any) -> Any:
    """A GraphDef as one of our messages; TypeError for anything else."""
    try:
        return protos.coerce(value, protos.GraphDef)
    except TypeError:
        raise TypeError("Argument `graph_def` must be a GraphDef proto.") from None


def check_input_map(input_map: Any) -> dict[str, Any]:
    """The map with its names as text; TypeError where it is none."""
    if input_map is None:
        return {}
    if not isinstance(input_map, dict):
        raise TypeError(
            "Argument `input_map` must be a dictionary. Obtained " + type(input_map).__name__
        )
    if not all(isinstance(key, str | bytes) for key in input_map):
        raise TypeError(
            f"All keys for argument `input_map` must be strings. Obtained keys: {list(input_map)}"
        )
    return {_text(key): value for key, value in input_map.items()}


def check_return_elements(return_elements: Iterable[str]) -> list[str]:
    """The names as text; TypeError where they are none."""
    elements = list(return_elements)
    if not all(isinstance(element, str | bytes) for element in elements):
        raise TypeError(
            f"Argument `return_elements` must be a list of strings. Obtained {return_elements}."
        )
    return [_text(element) for element in elements]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def parse_tensor_name(name: str) -> Source:
    """A tensor's name as a user writes it; raises ValueError."""
    parts = name.split(":")
    if len(parts) == 1:
        return name, 0
    if len(parts) > 2:
        raise ValueError(
            f"Cannot convert '{name}' to a tensor name. Tensor names should not contain more than "
            f"1 `:`. Obtained {len(parts) - 1}"
        )
    try:
        return parts[0], int(parts[1])
    except ValueError:
        raise ValueError(
            f"Cannot convert '{name}' to a tensor name. Second component of the name following "
            f"the `:` should be an int. Got {parts[1]}."
        ) from None


def map_sources(graph: Graph, mapped: dict[str, Any], scope: str) -> dict[Source, Tensor]:
    """The tensors that take the place of inputs; other values are converted."""
    if not scope and not all(isinstance(value, Tensor) for value in mapped.values()):
        raise ValueError(
            "tf.import_graph_def() requires a non-empty `name` if `input_map` contains non-Tensor "
            "values. Try calling tf.convert_to_tensor() on `input_map` values before calling "
            "tf.import_graph_def()."
        )
    sources: dict[Source, Tensor] = {}
    for key, value in mapped.items():
        if isinstance(value, Tensor):
            tensor = value
        else:
            with graph.name_scope(f"{scope}_inputs/"):
                tensor = convert_to_tensor(value)
        source = (key[1:], CONTROL) if key.startswith("^") else parse_tensor_name(key)
        if tensor.op.graph is not graph:
            raise ValueError(
                f"node '{tensor.op.name}' in input_map does not exist in graph (input_map entry: "
                f"{source[0]}:{source[1]}->{tensor.name})"
            )
        sources[source] = tensor
    return sources
