"""TensorFlow's protocol messages, from our own .proto files: `protos.GraphDef`, `protos.DT_FLOAT`.

The classes live in a private descriptor pool, so that real TensorFlow, which registers the same
names in the default one, can be imported beside us. They are built on first use: an import of this
package does not load google.protobuf. After an edit of a .proto file run ci/protos.
"""

import importlib
from typing import Any, Final

# Bytes for which it is looked whether there is room.
_LARGE: Final = 1 << 20


def _pool() -> Any:
    return importlib.import_module(f"{__name__}.pool")


def _exports() -> dict[str, Any]:
    exports: dict[str, Any] = _pool().load(__name__)
    return exports


def __getattr__(name: str) -> Any:
    # Python and its tools probe modules for dunder names; that must not load protobuf.
    if not name.startswith("__"):
        exports = _exports()
        globals().update(exports)
        if name in exports:
            return exports[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_exports()})


def coerce(message: Any, cls: Any) -> Any:
    """Return `message` as an instance of `cls`, one of our message classes.

    An instance is returned itself. The message of the same name of another package that speaks
    TensorFlow's protocol (its own, TensorBoard's) is parsed anew from its bytes.

    Raises:
      TypeError: `message` is something else.
    """
    if isinstance(message, cls):
        return message
    name = cls.__qualname__
    full_name = getattr(getattr(message, "DESCRIPTOR", None), "full_name", "")
    if isinstance(message, type) or not f".{full_name}".endswith(f".{name}"):
        raise TypeError(f"Expected a {name} message, but got {type(message)}")
    return cls.FromString(message.SerializeToString())


def parsed(cls: Any, data: bytes) -> Any:
    """Return the message of a class that `data` holds; raises ValueError when it holds none."""
    return _pool().parsed(cls, data)


def parsed_text(cls: Any, data: bytes) -> Any:
    """Return the message of a class that a text holds.

    Raises:
      text_format.ParseError: it holds none.
      UnicodeDecodeError: it is no text.
    """
    require_room(len(data))
    return _exports()["text_format"].Parse(data, cls())


def require_room(nbytes: int) -> None:
    """Raise MemoryError where there is no room for so many bytes in a message, and written again.

    A field that is given bytes does not look, and ends the process; a message that is written into
    a buffer that grows says less.
    """
    if nbytes > _LARGE:
        bytes(4 * nbytes)


def extend(listed: Any, values: list[Any]) -> None:
    """Add all values to a field: without room protobuf leaves some out, and says nothing.

    Raises:
      MemoryError: they are not all there.
    """
    wanted = len(listed) + len(values)
    listed.extend(values)
    if len(listed) != wanted:
        raise MemoryError(f"There is no room for {wanted} values in a message.")
