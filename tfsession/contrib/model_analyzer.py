"""`slim.model_analyzer`: what variables and operations a model has, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.exports import export


def tensor_description(var: Any) -> str:
    """A tensor as `(float32 2x3)`."""
    sizes = "x".join(str(size) for size in var.shape.as_list())
    return f"({var.dtype.base_dtype.name} {sizes})"


@export("contrib.slim.model_analyzer.analyze_vars", "contrib.model_pruning.analyze_vars")
def analyze_vars(variables: Sequence[Any], print_info: bool = False) -> tuple[int, int]:
    """How many elements variables have in all, and how many bytes.

    Args:
        variables: of known shapes.
        print_info: print a line for each, and the sums.
    """
    if print_info:
        print("---------")
        print("Variables: name (type shape) [size]")
        print("---------")
    elements = size = 0
    for variable in variables:
        count = variable.shape.num_elements() or 0
        bytes_of = count * variable.dtype.base_dtype.size
        elements, size = elements + count, size + bytes_of
        if print_info:
            print(f"{variable.name} {tensor_description(variable)} [{count}, bytes: {bytes_of}]")
    if print_info:
        print(f"Total size of variables: {elements}")
        print(f"Total bytes of variables: {size}")
    return elements, size


@export("contrib.slim.model_analyzer.analyze_ops")
def analyze_ops(graph: Any, print_info: bool = False) -> int:
    """How many elements the outputs of all operations have, as far as that is known."""
    if print_info:
        print("---------")
        print("Operations: name -> (type shapes) [size]")
        print("---------")
    total = 0
    for op in graph.get_operations():
        count = sum(t.shape.num_elements() or 0 for t in op.outputs)
        if print_info and count:
            shapes = ", ".join(
                tensor_description(t) for t in op.outputs if t.shape.ndims is not None
            )
            print(f"{op.name}\t-> {shapes} [{count}]")
        total += count
    if print_info:
        print(f"Total size: {total}")
    return total
