"""Functions of the graph as kernels call them: with one call's values, or in part with many's.

What a function does first with an argument may cost far less for many calls at once than for each:
parsing an Example, above all. Such operations have a rule in `core.rules.by_rows`; their outputs
are then fed to the rest of the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tfsession.core.dtypes import resource, string, variant
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import by_rows
from tfsession.graph.constant_value import constant_value
from tfsession.graph.tensor import Tensor
from tfsession.runtime.partition import Node
from tfsession.runtime.plan import Plan, Signature

# One of several calls that were begun together: what ends it, and the values for that.
Begun = tuple[Callable[..., Sequence[Any]], tuple[Any, ...]]


class Called:
    """A function of the graph as one of Python: it takes host values, and gives such.

    Args:
        signature: of a call; its arguments are fed.
        plan_of: gives plans.
    """

    def __init__(self, signature: Signature, plan_of: Callable[[Signature], Plan]) -> None:
        plan = plan_of(signature)
        self._run = plan.run
        self._dtypes = [_dtype_of(tensor) for tensor in signature.feeds]
        self.nodes = plan.nodes
        self._first = next(
            (
                node
                for node in plan.nodes
                if node.op.type in by_rows
                and _source(node.op.inputs[0]) in signature.feeds
                and node.memory is None
                and node.device.ledger is None
            ),
            None,
        )
        values = [constant_value(t) for t in self._first.op.inputs[1:]] if self._first else []
        if self._first is not None and not any(value is None for value in values):
            self._divide(signature, plan_of, self._first, values)
        else:
            self._first = None

    def _divide(
        self,
        signature: Signature,
        plan_of: Callable[[Signature], Plan],
        first: Node,
        values: Sequence[Any],
    ) -> None:
        op = first.op
        self._argument = signature.feeds.index(_source(op.inputs[0]))
        attrs = {name: op.attrs[name] for name in first.kernel.keywords(op.op_def)}
        rule: Callable[..., Any] = by_rows[op.type]
        self._compute: Callable[[list[Any]], Any] = lambda rows: rule(rows, *values, **attrs)
        feeds = (*signature.feeds, *op.outputs)
        picked = _picked(signature.fetches, feeds)
        if picked is None:
            rest = replace(signature, feeds=feeds, memories=(None,) * len(feeds))
            self._end: Callable[..., Sequence[Any]] = _in_host_form(plan_of(rest).run)
        else:
            self._end = lambda *given: [given[index] for index in picked]

    def __call__(self, *values: Any) -> list[Any]:
        """The results; texts among them as arrays, as kernels want them.

        Raises InvalidArgumentError where the function takes other values.
        """
        if not self._takes(values):
            wanted = ", ".join(map(str, self._dtypes))
            given = ", ".join(str(getattr(value, "dtype", "an object")) for value in values)
            raise InvalidArgumentError(
                None, None, f"The function takes arguments ({wanted}), but was given ({given})"
            )
        return [_array(v) if type(v) is bytes else v for v in self._run(values)]

    def _takes(self, values: Sequence[Any]) -> bool:
        """Whether values are as many as the arguments, numbers among them of their types."""
        if len(values) != len(self._dtypes):
            return False
        for value, dtype in zip(values, self._dtypes, strict=True):
            if dtype is not None and getattr(value, "dtype", None) != dtype:
                return False
        return True

    def begin(self, calls: Sequence[tuple[Any, ...]]) -> Sequence[Begun] | None:
        """Calls that do not depend on each other, with what can be done for all at once done.

        None where that is nothing, or fails: so that what fails is told by the call itself.
        """
        if self._first is None or not all(map(self._takes, calls)):
            return None
        try:
            found = self._compute([values[self._argument] for values in calls])
        except Exception:
            return None
        return [(self._end, (*v, *outputs)) for v, outputs in zip(calls, found, strict=True)]


def _dtype_of(tensor: Tensor) -> np.dtype[Any] | None:
    """NumPy's type of the values of a tensor of numbers; None of any other."""
    dtype = tensor.dtype.base_dtype
    return None if dtype in (string, resource, variant) else np.dtype(dtype.numpy)


def _array(text: bytes) -> Any:
    array = np.empty((), object)
    array[()] = text
    return array


def _in_host_form(run: Callable[..., Sequence[Any]]) -> Callable[..., Sequence[Any]]:
    return lambda *values: [_array(v) if type(v) is bytes else v for v in run(values)]


def _source(tensor: Tensor) -> Tensor:
    """What a tensor is the same as."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def _picked(fetches: Sequence[Tensor], feeds: Sequence[Tensor]) -> list[int] | None:
    """Which of the feeds are the results, if these are nothing else."""
    read = [_source(t) for t in fetches]
    return [feeds.index(t) for t in read] if set(read) <= set(feeds) else None
