"""Builds the message classes from the descriptors that ship with the package."""

import copyreg
import functools
from importlib import resources
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError, Message

from tfsession.core import forking

_PACKAGES: Final = ("tensorflow", "tensorflow.error", "tensorflow.tfprof")

_lock = forking.lock()


def load(module: str) -> dict[str, Any]:
    """Return the messages, enums and enum values of the top level by name.

    Args:
      module: the importable module that exports them; pickles will name it.
    """
    # Two sets of classes would not be instances of each other: threads wait for the first one.
    with _lock:
        return _load(module)


@functools.cache
def _load(module: str) -> dict[str, Any]:
    files = descriptor_pb2.FileDescriptorSet.FromString(
        resources.files(__package__).joinpath("descriptors.binpb").read_bytes()
    )
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.AddSerializedFile(file.SerializeToString())
    # With what messages are read, so that who reads them need not load protobuf before.
    exports: dict[str, Any] = {"DecodeError": DecodeError, "text_format": text_format}
    for file in files.file:
        if file.package not in _PACKAGES:
            continue
        described = pool.FindFileByName(file.name)
        for name, message in described.message_types_by_name.items():
            exports[name] = _class_of(message, module, name)
        for name, enum in described.enum_types_by_name.items():
            exports[name] = EnumTypeWrapper(enum)
            # Status codes are left to core.errors: `protos.UNKNOWN` would say too little.
            if file.package != "tensorflow.error":
                exports.update(_values(enum))
    return exports


def _class_of(descriptor: Descriptor, module: str, qualname: str) -> Any:
    cls: Any = message_factory.GetMessageClass(descriptor)
    cls.__module__ = module
    cls.__qualname__ = qualname
    cls.CopyFrom, cls.__deepcopy__ = _copy_from, _deep_copy
    for name, nested in descriptor.nested_types_by_name.items():
        inner = _class_of(nested, module, f"{qualname}.{name}")
        # protobuf keeps no reference to a nested class, and would build another one without ours.
        setattr(cls, name, inner)
        # It also pickles nested messages by their name in the default pool.
        copyreg.pickle(inner, _reduce)
    return cls


def parsed(cls: type[Message], data: bytes) -> Message:
    """Return the message that `data` holds; raises ValueError when it holds none."""
    try:
        return cls.FromString(data)
    except DecodeError as error:
        raise ValueError(str(error)) from None


def _copy_from(message: Message, other: Message) -> None:
    """Copy by bytes: protobuf's own way ends the process where there is no room for the copy."""
    if other is not message:
        if isinstance(other, type(message)):
            message.Clear()
        message.MergeFrom(other)


def _deep_copy(message: Message, memo: Any) -> Message:
    copy = type(message)()
    copy.MergeFrom(message)
    return copy


def _reduce(message: Message) -> tuple[Any, ...]:
    return _parse, (type(message), message.SerializePartialToString())


def _parse(cls: type[Message], data: bytes) -> Message:
    return cls.FromString(data)


def _values(enum: EnumDescriptor) -> dict[str, int]:
    return {name: value.number for name, value in enum.values_by_name.items()}
