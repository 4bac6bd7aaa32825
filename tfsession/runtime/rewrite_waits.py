"""Rewriting waits: what others only wait for, and what does nothing but compute, need not run.

Gradients are such: those of one operation are gated by a wait for all of them, of which a step may
read one. Whoever waited then waits for what the operation would have read and waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tfsession.graph.operation import Operation
from tfsession.runtime.plan import Signature
from tfsession.runtime.wiring import Wired, controls_of, inputs_of, sources_of

# These compute nothing new, but fail where their input is not as it should be.
_CHECKS = frozenset({"CheckNumerics", "CheckNumericsV2", "EnsureShape"})
# To wait for one of these does not tell which of its outputs is alive.
_SWITCHES = frozenset({"RefSwitch", "Switch"})


def without_idle(
    ops: Sequence[Operation], signature: Signature, is_pure: Callable[[Operation], bool]
) -> Mapping[Operation, Wired]:
    """What is to be read and waited for where nobody waits for an idle operation any more.

    Args:
        ops: what the step runs, in an order in which it can.
        signature: what is fed and fetched.
        is_pure: whether an operation only computes.
    """
    feeds, wiring = frozenset(signature.feeds), signature.wiring
    if not any(op.control_inputs for op in ops):
        return {}
    used = {*signature.targets, *(t.op for t in signature.fetches)}
    idle = set()
    for op in reversed(ops):
        inputs = inputs_of(op, wiring)
        is_idle = op not in used and op.type not in _CHECKS and is_pure(op)
        if is_idle and not any(tensor.op.type in _SWITCHES for tensor in inputs):
            idle.add(op)
        else:
            used.update([tensor.op for tensor in inputs])
    if not idle:
        return {}
    wired: dict[Operation, Wired] = {}
    behind: dict[Operation, list[Operation]] = {}  # what stands for each one that is idle
    for op in ops:
        controls = controls_of(op, feeds, wiring)
        if op in idle:
            sources = sources_of(op, feeds, wiring)
            behind[op] = _expanded(sources, behind)
        elif not idle.isdisjoint(controls):
            there = wiring.rewired.get(op) or Wired(inputs_of(op, wiring), ())
            wired[op] = replace(there, controls=tuple(_expanded(controls, behind)))
    return wired


def _expanded(
    sources: Sequence[Operation], behind: Mapping[Operation, list[Operation]]
) -> list[Operation]:
    """The operations to wait for, and in place of idle ones what stands for them."""
    expanded = [found for source in sources for found in behind.get(source, (source,))]
    return list(dict.fromkeys(expanded))
