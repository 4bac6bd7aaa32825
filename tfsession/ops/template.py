"""Functions that keep their variables: `make_template`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tfsession.core.exports import export
from tfsession.graph.graph import get_default_graph
from tfsession.graph.graph_keys import GraphKeys
from tfsession.ops.variable_scope import VariableScope, variable_scope


@export("make_template")
def make_template(
    name_: str,
    func_: Callable[..., Any],
    create_scope_now_: bool = False,
    unique_name_: str | None = None,
    custom_getter_: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Template:
    """A function whose calls share the variables that `func_` makes by `get_variable`.

    Args:
        name_: of the variable scope, made unique.
        func_: the function.
        create_scope_now_: choose the scope's name now, not at the first call.
        unique_name_: the name of the scope as it is; templates of one name share variables.
        custom_getter_: for the scope.
        kwargs: keyword arguments for every call.

    Raises:
        ValueError: no name.
    """
    function = partial(func_, **kwargs) if kwargs else func_
    return Template(name_, function, create_scope_now_, unique_name_, custom_getter_)


class Template:
    """What `make_template` gives; a call raises ValueError when it makes new trainable ones."""

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        create_scope_now: bool,
        unique_name: str | None,
        custom_getter: Callable[..., Any] | None,
    ) -> None:
        if name is None:
            raise ValueError("name cannot be None.")
        self._name = name
        self._func = func
        self._unique_name = unique_name
        self._custom_getter = custom_getter
        self._scope: VariableScope | None = None
        self._has_variables = False
        if create_scope_now:
            with self._new_scope(auxiliary_name_scope=False) as scope:
                self._scope = scope

    def _new_scope(self, **keywords: Any) -> variable_scope:
        return variable_scope(
            self._unique_name, self._name, custom_getter=self._custom_getter, **keywords
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function gives, with variables made by the first call."""
        if self._scope is None:
            with self._new_scope() as scope:
                self._scope = scope
                return self._called(args, kwargs)
        with variable_scope(self._scope, reuse=self._has_variables):
            return self._called(args, kwargs)

    def _called(self, args: Any, kwargs: Any) -> Any:
        trained = get_default_graph().get_collection_ref(GraphKeys.TRAINABLE_VARIABLES)
        before = len(trained)
        result = self._func(*args, **kwargs)
        if self._has_variables and len(trained) != before:
            raise ValueError(
                "Trainable variable created when calling a template after the first time, "
                "perhaps you used tf.Variable when you meant tf.get_variable: "
                f"{trained[before:]}"
            )
        self._has_variables = True
        return result

    @property
    def name(self) -> str:
        """The name given."""
        return self._name

    @property
    def func(self) -> Callable[..., Any]:
        """The function."""
        return self._func

    @property
    def variable_scope(self) -> VariableScope | None:
        """The scope of the variables; None before the first call."""
        return self._scope

    @property
    def variable_scope_name(self) -> str | None:
        """Its name, with a slash."""
        if self._scope is None:
            return None
        name = self._scope.name
        return name if not name or name.endswith("/") else name + "/"

    def _of_scope(self, key: str) -> list[Any]:
        if not self._has_variables:
            return []
        return get_default_graph().get_collection(key, self.variable_scope_name)

    @property
    def variables(self) -> list[Any]:
        """The global and local variables of the scope."""
        return self.global_variables + self.local_variables

    @property
    def trainable_variables(self) -> list[Any]:
        """The trainable variables of the scope."""
        return self._of_scope(GraphKeys.TRAINABLE_VARIABLES)

    @property
    def non_trainable_variables(self) -> list[Any]:
        """The global variables of the scope that are not trained."""
        trained = set(self.trainable_variables)
        return [variable for variable in self.global_variables if variable not in trained]

    @property
    def global_variables(self) -> list[Any]:
        """The global variables of the scope."""
        return self._of_scope(GraphKeys.GLOBAL_VARIABLES)

    @property
    def local_variables(self) -> list[Any]:
        """The local variables of the scope."""
        return self._of_scope(GraphKeys.LOCAL_VARIABLES)
