"""The default session of a thread, in which `eval` and `run` of graph elements happen."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tfsession.core.exports import export
from tfsession.graph import operation as operation_lib
from tfsession.graph import tensor as tensor_lib
from tfsession.graph.operation import Operation
from tfsession.graph.stacks import DefaultStack
from tfsession.graph.tensor import Tensor

default_sessions: Final = DefaultStack()


@export("get_default_session")
def get_default_session() -> Any:
    """The innermost default session of this thread, or None."""
    return default_sessions.top


def _session_for(element: Tensor | Operation, session: Any, texts: _Texts) -> Any:
    """The session to use; ValueError when there is none, or none of the element's graph."""
    is_default = session is None
    if is_default:
        session = get_default_session()
        if session is None:
            raise ValueError(
                f"Cannot {texts.action} using `{texts.method}()`: No default session is "
                f"registered. Use `{texts.scope}` or pass an explicit session to "
                f"`{texts.method}(session=sess)`"
            )
    if session.graph is not element.graph:
        noun = texts.action.split()[1]
        which = "default" if is_default else "given"
        advice = f" Pass an explicit session to {texts.advice}." if is_default else ""
        raise ValueError(
            f"Cannot use the {which} session to {texts.action}: the {noun}'s graph is different "
            f"from the session's graph.{advice}"
        )
    return session


class _Texts(NamedTuple):
    """The parts of error texts that differ between eval and run."""

    action: str
    method: str
    scope: str
    advice: str


_EVAL = _Texts("evaluate tensor", "eval", "with sess.as_default()", "`eval(session=sess)`")
_RUN = _Texts("execute operation", "run", "with sess.as_default():", "run(session=sess)")


def _evaluate(tensor: Tensor, feed_dict: Any, session: Any) -> Any:
    return _session_for(tensor, session, _EVAL).run(tensor, feed_dict)


def _execute(operation: Operation, feed_dict: Any, session: Any) -> None:
    _session_for(operation, session, _RUN).run(operation, feed_dict)


tensor_lib.evaluate = _evaluate
operation_lib.execute = _execute
