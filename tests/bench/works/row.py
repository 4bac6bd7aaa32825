"""What a row of the bench is, and how one is written.

A work is a function `f(tf, *sizes)` that builds a program with the names of `tf.compat.v1` and
gives a step: a function without arguments that does the work once and returns what to compare. It
runs with tfsession and with TensorFlow. `@works({name: sizes, ...})` makes a row of each entry;
`small` are sizes for the tests, which compare answers and time nothing. The same work in other
libraries, `f(jax, *sizes)` or `f(torch, *sizes)`, joins by `@WORK.beside("jax")`.

A step with an attribute `prepare` has it called before each time, unmeasured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Step = Callable[[], Any]
Sizes = tuple[Any, ...]


@dataclass
class Work:
    """A program to be timed, in every library that can say it."""

    build: Callable[..., Step]
    small: dict[str, Sizes]
    others: dict[str, Callable[..., Step]] = field(default_factory=dict)

    def beside(self, library: str) -> Callable[[Callable[..., Step]], Callable[..., Step]]:
        """Register the same work written with another library."""

        def register(build: Callable[..., Step]) -> Callable[..., Step]:
            self.others[library] = build
            return build

        return register


@dataclass(frozen=True)
class Row:
    """A line of the table: a work with its sizes."""

    name: str
    work: Work
    sizes: Sizes

    def step(self, tf: Any) -> Step:
        """Build it with tfsession or TensorFlow."""
        return self.work.build(tf, *self.sizes)


ROWS: list[Row] = []


def works(
    rows: dict[str, Sizes], small: dict[str, Sizes] | None = None
) -> Callable[[Callable[..., Step]], Work]:
    """Make a row of each name with its sizes; `small` takes their place in tests."""

    def register(build: Callable[..., Step]) -> Work:
        work = Work(build, small or rows)
        ROWS.extend(Row(name, work, sizes) for name, sizes in rows.items())
        return work

    return register
