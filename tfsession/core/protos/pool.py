"""Builds the message classes from the descriptors that ship with the package."""

import copyreg
import functools
from importlib import resources
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError, Message

from tfsession.core import forking

_PACKAGES: Final = ("tensorflow", "tensorflow.error", "tensorflow.tfprof")

_lock = forking.lock()


def load(module: str) -> dict[str, Any]:
    """Return the messages, enums and enum values of the top level by name, and DecodeError.

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
    exports: dict[str, Any] = {"DecodeError": DecodeError}  # what FromString raises
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
    for name, nested in descriptor.nested_types_by_name.items():
        inner = _class_of(nested, module, f"{qualname}.{name}")
        # protobuf keeps no reference to a nested class, and would build another one without ours.
        setattr(cls, name, inner)
        # It also pickles nested messages by their name in the default pool.
        copyreg.pickle(inner, _reduce)
    return cls


def _reduce(message: Message) -> tuple[Any, ...]:
    return _parse, (type(message), message.SerializePartialToString())


def _parse(cls: type[Message], data: bytes) -> Message:
    return cls.FromString(data)


def _values(enum: EnumDescriptor) -> dict[str, int]:
    return {name: value.number for name, value in enum.values_by_name.items()}
