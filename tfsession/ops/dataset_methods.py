"""Methods of datasets that stand as functions in `tf.data.experimental`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tfsession.graph.sparse_tensor import SparseTensor
from tfsession.ops.dataset import Dataset
from tfsession.ops.dataset_experimental import bucket_by_sequence_length, choose_from_datasets
from tfsession.ops.dataset_sampling import RandomDataset, rejection_resample, sample_from_datasets


def _bucket_by_sequence_length(
    self: Dataset,
    element_length_func: Callable[..., Any],
    bucket_boundaries: Sequence[int],
    bucket_batch_sizes: Sequence[int],
    padded_shapes: Any = None,
    padding_values: Any = None,
    pad_to_bucket_boundary: bool = False,
    no_padding: bool = False,
    drop_remainder: bool = False,
    name: str | None = None,
) -> Dataset:
    """As the function of this name in `tf.data.experimental`, applied."""
    return bucket_by_sequence_length(
        element_length_func,
        bucket_boundaries,
        bucket_batch_sizes,
        padded_shapes,
        padding_values,
        pad_to_bucket_boundary,
        no_padding,
        drop_remainder,
    )(self)


def _rejection_resample(
    self: Dataset,
    class_func: Callable[..., Any],
    target_dist: Any,
    initial_dist: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Dataset:
    """As the function of this name in `tf.data.experimental`, applied."""
    return rejection_resample(class_func, target_dist, initial_dist, seed)(self)


def _sample_from_datasets(
    datasets: Sequence[Dataset],
    weights: Any = None,
    seed: int | None = None,
    stop_on_empty_dataset: bool = False,
    rerandomize_each_iteration: bool | None = None,
) -> Dataset:
    """As the function of this name in `tf.data.experimental`; choices are the same each time."""
    if rerandomize_each_iteration:
        raise NotImplementedError("rerandomize_each_iteration is not supported.")
    return sample_from_datasets(datasets, weights, seed, stop_on_empty_dataset)


def _choose_from_datasets(
    datasets: Any, choice_dataset: Dataset, stop_on_empty_dataset: bool = True
) -> Dataset:
    """As the function of this name in `tf.data.experimental`, but for what is done at an end."""
    return choose_from_datasets(datasets, choice_dataset, stop_on_empty_dataset)


def _from_sparse_tensor_slices(sparse_tensor: SparseTensor) -> Dataset:
    """The slices of a sparse tensor along its first dimension: places, values and dense shapes.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(sparse_tensor, SparseTensor):
        raise TypeError(f"Invalid `sparse_tensor`. Got {type(sparse_tensor)}, no SparseTensor.")
    slices = Dataset.from_tensor_slices(sparse_tensor)
    return slices.map(lambda one: (one.indices, one.values, one.dense_shape))


for _method, _static in (
    (_bucket_by_sequence_length, False),
    (_rejection_resample, False),
    (_sample_from_datasets, True),
    (_choose_from_datasets, True),
    (_from_sparse_tensor_slices, True),
):
    _method.__name__ = _method.__name__[1:]
    setattr(Dataset, _method.__name__, staticmethod(_method) if _static else _method)
Dataset.random = staticmethod(RandomDataset)
