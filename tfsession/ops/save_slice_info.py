"""Which slice of a larger variable one is: checkpoints keep the larger one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core import protos
from tfsession.ops.variables import Variable


class SaveSliceInfo:
    """The name and shape of the whole variable, and the offset and shape of a slice of it.

    Args:
        full_name: of the whole variable.
        full_shape: of the whole variable.
        var_offset: where the slice begins in each dimension.
        var_shape: of the slice.
        save_slice_info_def: a SaveSliceInfoDef message that tells all this instead.
        import_scope: a name scope to put in front of a message's `full_name`.
    """

    def __init__(
        self,
        full_name: str | None = None,
        full_shape: Sequence[int] | None = None,
        var_offset: Sequence[int] | None = None,
        var_shape: Sequence[int] | None = None,
        save_slice_info_def: Any = None,
        import_scope: str | None = None,
    ) -> None:
        self.full_name = full_name
        self.full_shape = full_shape
        self.var_offset = var_offset
        self.var_shape = var_shape
        if save_slice_info_def is not None:
            message = protos.coerce(save_slice_info_def, protos.SaveSliceInfoDef)
            prefix = f"{import_scope}/" if import_scope else ""
            self.full_name = prefix + message.full_name
            self.full_shape = list(message.full_shape)
            self.var_offset = list(message.var_offset)
            self.var_shape = list(message.var_shape)

    @property
    def spec(self) -> str:
        """As SaveV2 and RestoreV2 take it: `"4 3 0,2:0,3"` is rows 0 and 1 of a 4 by 3 matrix."""
        sizes = "".join(f"{size} " for size in self.full_shape or ())
        slices = zip(self.var_offset or (), self.var_shape or (), strict=True)
        return sizes + ":".join(f"{offset},{size}" for offset, size in slices)

    @classmethod
    def from_spec(cls, spec: str) -> SaveSliceInfo:
        """What a `spec` tells, without the name; ValueError for another text."""
        if not spec:
            return cls()
        sizes, _, slices = spec.rpartition(" ")
        try:
            pairs = [tuple(map(int, text.split(","))) for text in slices.split(":")]
            offsets, shape = zip(*pairs, strict=True)
            full = [int(size) for size in sizes.split()]
        except ValueError:
            raise ValueError(
                "Spec string must contain space-separated full_shape info, and after it "
                f"comma-separated pairs of offsets and shapes, all integers: got {spec!r}."
            ) from None
        return cls(full_shape=full, var_offset=list(offsets), var_shape=list(shape))

    def to_proto(self, export_scope: str | None = None) -> Any:
        """The SaveSliceInfoDef message; None for a variable outside of `export_scope`."""
        name = self.full_name or ""
        if export_scope:
            if not name.startswith(export_scope + "/"):
                return None
            name = name.removeprefix(export_scope + "/")
        return protos.SaveSliceInfoDef(
            full_name=name,
            full_shape=self.full_shape,
            var_offset=self.var_offset,
            var_shape=self.var_shape,
        )


Variable.SaveSliceInfo = SaveSliceInfo
