"""Default arguments of functions in a block: `arg_scope`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

from tfsession.core.exports import export
from tfsession.graph.stacks import DefaultStack

F = TypeVar("F", bound=Callable[..., Any])
# Keyword arguments by the key of a function.
Scope = dict[str, dict[str, Any]]

_scopes = DefaultStack()
_arguments_of: dict[str, list[str]] = {}


def _shown(name: str) -> Callable[[Any], Any]:
    rooms = ("framework", "slim", "framework.python.ops")
    return export(*(f"contrib.{room}.{name}" for room in rooms))


def _key(function: Any) -> str:
    return str(getattr(function, "_key_op", function))


@_shown("add_arg_scope")
def add_arg_scope(func: F) -> F:
    """Let `arg_scope` give default arguments to the decorated function."""

    @wraps(func)
    def with_defaults(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **{**current_arg_scope().get(_key(func), {}), **kwargs})

    key = _key(func)
    code = getattr(func, "__code__", None)
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
    _arguments_of[key] = list(names)
    with_defaults._key_op = key  # type: ignore[attr-defined]
    return with_defaults  # type: ignore[return-value]


@_shown("arg_scope")
@contextmanager
def arg_scope(list_ops_or_scope: Any, **kwargs: Any) -> Iterator[Scope]:
    """In the block, the functions get `kwargs` where a call does not give them itself.

    Args:
        list_ops_or_scope: a list or tuple of functions decorated with `add_arg_scope`; or what an
            `arg_scope` gave, to use it again.
        kwargs: keyword arguments; those around stay where they are not given.

    Raises:
        TypeError: it is neither.
        ValueError: a function is not decorated, or there are `kwargs` for a scope.
    """
    if isinstance(list_ops_or_scope, dict):
        if kwargs:
            raise ValueError(
                "When attempting to re-use a scope by suppling a dictionary, kwargs must be empty."
            )
        scope = dict(list_ops_or_scope)
    else:
        if not isinstance(list_ops_or_scope, list | tuple):
            raise TypeError(
                "list_ops_or_scope must either be a list/tuple or reused scope (i.e. dict)"
            )
        scope = dict(current_arg_scope())
        for function in list_ops_or_scope:
            if not has_arg_scope(function):
                name = getattr(function, "__name__", function)
                raise ValueError(f"{name} is not decorated with @add_arg_scope")
            scope[_key(function)] = {**scope.get(_key(function), {}), **kwargs}
    with _scopes.pushed(scope):
        yield scope


@_shown("current_arg_scope")
def current_arg_scope() -> Scope:
    """The default arguments that hold now."""
    return _scopes.top or {}


@_shown("has_arg_scope")
def has_arg_scope(func: Any) -> bool:
    """Whether a function is decorated with `add_arg_scope`."""
    return _key(func) in _arguments_of


@_shown("arg_scoped_arguments")
def arg_scoped_arguments(func: Any) -> list[str]:
    """The names of the arguments that an `arg_scope` may give to a function."""
    return _arguments_of[_key(func)]


@_shown("arg_scope_func_key")
def arg_scope_func_key(op: Any) -> str:
    """The key of a function in a scope."""
    return _key(op)
