"""How the objects in graph collections are written to files: the messages of each collection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tfsession.core import protos


class CollectionProto(NamedTuple):
    """How a collection is written and read.

    `message` names the message class in `core.protos`; `to_proto(item, export_scope)` may give None
    for what lies outside of the scope, and `from_proto(message, import_scope)` gives the item.
    """

    message: str
    to_proto: Callable[..., Any]
    from_proto: Callable[..., Any]

    def parse(self, data: bytes, import_scope: str | None) -> Any:
        """The item of a message's bytes."""
        message = getattr(protos, self.message).FromString(data)
        return self.from_proto(message, import_scope=import_scope)


collection_protos: dict[str, CollectionProto] = {}


def without_scope(name: str, scope: str | None) -> str:
    """A node's or tensor's name as seen from within a name scope."""
    return name.removeprefix(scope.rstrip("/") + "/") if scope else name


def within_scope(name: str, scope: str | None) -> str:
    """The name of a node or tensor that is now in a name scope; `^` stays in front."""
    if not scope:
        return name
    mark = "^" if name.startswith("^") else ""
    return f"{mark}{scope.rstrip('/')}/{name.removeprefix('^')}"
