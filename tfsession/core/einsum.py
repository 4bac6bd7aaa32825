"""Einsum equations as the op takes them: labels of one or two inputs and of the output.

A label is one character; `...` stands for any number of broadcasting dimensions.
"""

from __future__ import annotations

from functools import lru_cache

Labels = tuple[str, ...]
ELLIPSIS = "..."


@lru_cache(maxsize=512)
def parse_equation(equation: str) -> tuple[tuple[Labels, ...], Labels]:
    """The labels of each input and of the output; ValueError for what is no equation."""
    sides = equation.split("->")
    if len(sides) != 2:
        raise ValueError(f"Expecting exactly one '->' in einsum equation: {equation}")
    inputs = sides[0].split(",")
    if len(inputs) > 2:
        raise ValueError(
            f"Expecting 1 or 2 input subscripts in equation '{equation}' but got: {len(inputs)}"
        )
    parsed = tuple(parse_subscript(text, "input") for text in inputs)
    output = parse_subscript(sides[1], "output")
    known = {label for labels in parsed for label in labels}
    for label in output:
        if label not in known and label != ELLIPSIS:
            raise ValueError(
                f"Einsum output subscripts for equation '{equation}' has label '{label}' which is "
                "not present in the input subscripts"
            )
    return parsed, output


def parse_subscript(text: str, which: str) -> Labels:
    """The labels of one tensor, `...` as one label."""
    before, ellipsis, after = text.partition(ELLIPSIS)
    if "." in before + after:
        raise ValueError(
            f"Expected at most one ellipsis (...), but found {text.count('.')} periods (.) in the "
            f"{which} subscript: {text}"
        )
    return (*before, *((ELLIPSIS,) if ellipsis else ()), *after)
