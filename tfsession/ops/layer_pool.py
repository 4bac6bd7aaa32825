"""Layers that pool sequences, images and volumes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tfsession.core.exports import export
from tfsession.ops.layer import InputSpec, Layer, export_function
from tfsession.ops.layer_conv import is_channels_first, layout_of, padding_of, sizes_of
from tfsession.ops.pool import avg_pool, avg_pool3d, max_pool, max_pool3d
from tfsession.ops.shape import expand_dims, squeeze


class PoolLayer(Layer):
    """A pool of `rank` spatial dimensions.

    Args:
        pool_size: size of the windows, one number or one for each spatial dimension.
        strides: steps of the windows, likewise; their size when None.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first".
        name: name of the layer.
        kwargs: `_scope`, `_reuse`.
    """

    rank = 2
    pool: Callable[..., Any]

    def __init__(
        self,
        pool_size: Any,
        strides: Any,
        padding: str = "valid",
        data_format: str = "channels_last",
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        strides = pool_size if strides is None else strides
        self.pool_size = sizes_of(pool_size, self.rank, "pool_size")
        self.strides = sizes_of(strides, self.rank, "strides")
        self.padding = padding_of(padding)
        self._first = is_channels_first(data_format)
        self.data_format = "channels_first" if self._first else "channels_last"
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def call(self, inputs: Any) -> Any:
        """The greatest number, or the mean, of each window."""
        sizes, strides, rank = self.pool_size, self.strides, self.rank
        axis = 3 if self._first else 2
        if rank == 1:
            inputs, rank = expand_dims(inputs, axis), 2
            sizes, strides = (*sizes, 1), (*strides, 1)
        whole = [[1, 1, *each] if self._first else [1, *each, 1] for each in (sizes, strides)]
        layout = layout_of(self._first, rank)
        outputs = type(self).pool(inputs, *whole, self.padding.upper(), data_format=layout)
        return squeeze(outputs, axis) if self.rank == 1 else outputs


@export("layers.MaxPooling1D")
class MaxPooling1D(PoolLayer):
    """The greatest number of each window of sequences."""

    rank, pool = 1, staticmethod(max_pool)


@export("layers.AveragePooling1D")
class AveragePooling1D(PoolLayer):
    """The mean of each window of sequences."""

    rank, pool = 1, staticmethod(avg_pool)


@export("layers.MaxPooling2D")
class MaxPooling2D(PoolLayer):
    """The greatest number of each window of images."""

    rank, pool = 2, staticmethod(max_pool)


@export("layers.AveragePooling2D")
class AveragePooling2D(PoolLayer):
    """The mean of each window of images."""

    rank, pool = 2, staticmethod(avg_pool)


@export("layers.MaxPooling3D")
class MaxPooling3D(PoolLayer):
    """The greatest number of each window of volumes."""

    rank, pool = 3, staticmethod(max_pool3d)


@export("layers.AveragePooling3D")
class AveragePooling3D(PoolLayer):
    """The mean of each window of volumes."""

    rank, pool = 3, staticmethod(avg_pool3d)


for _class, _name in (
    (MaxPooling1D, "max_pooling1d"),
    (AveragePooling1D, "average_pooling1d"),
    (MaxPooling2D, "max_pooling2d"),
    (AveragePooling2D, "average_pooling2d"),
    (MaxPooling3D, "max_pooling3d"),
    (AveragePooling3D, "average_pooling3d"),
):
    export_function(_class, f"layers.{_name}")
