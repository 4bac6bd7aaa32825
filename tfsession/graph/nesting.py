"""Which branches and loops operations are in, and what may read what across their bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tfsession.graph.context import ControlFlowContext, WhileContext
    from tfsession.graph.operation import Operation

ENTERS = frozenset({"Enter", "RefEnter"})
EXITS = frozenset({"Exit", "RefExit"})
SWITCHES = frozenset({"Switch", "RefSwitch"})


def context_of_outputs(op: Operation) -> ControlFlowContext | None:
    """The context in which the outputs of an operation are: for an Exit, the one around its own."""
    context: ControlFlowContext | None = op._control_flow_context
    if op.type in EXITS and context is not None:
        context = context.outer_context
    return context


def loop_of_outputs(op: Operation) -> WhileContext | None:
    """The loop in which the outputs of an operation are."""
    context = context_of_outputs(op)
    return context.loop if context is not None else None


def is_within(context: ControlFlowContext | None, around: ControlFlowContext | None) -> bool:
    """Whether a context is `around`, or inside it; everything is inside None."""
    while context is not around:
        if context is None:
            return False
        context = context.outer_context
    return True


def _goes_back(loop: WhileContext, there: WhileContext) -> bool:
    """Whether gradients go back in `loop` through what is in `there`, or the other way round."""
    if loop.backward is not None:
        forward = loop.backward.forward
        return is_within(forward, there) or there.outer_context is forward
    return there.backward is not None and there.backward.forward is loop


def check_inputs(op: Operation) -> None:
    """Raise ValueError where an operation reads what is inside a loop that it is not in itself."""
    for tensor in op.inputs:
        there = loop_of_outputs(tensor.op)
        if there is None:
            continue
        context: ControlFlowContext | None = op._control_flow_context
        loop = context.loop if context is not None else None
        if loop is None:
            # Made to bring something into an inner context.
            if op.type in ENTERS or op.type in SWITCHES:
                continue
            why = f"'{tensor.op.name}' is in a while loop"
        elif is_within(loop, there) or _goes_back(loop, there):
            continue
        else:
            why = "they are in different while loops"
        raise ValueError(
            f"Cannot use '{tensor.op.name}' as input to '{op.name}' because {why}. See info log "
            "for more details."
        )
