"""`tf.data.experimental`, and what was `tf.contrib.data`: functions for `Dataset.apply`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import bool_, int64
from tfsession.core.exports import export
from tfsession.core.wire import nested
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.graph import get_default_graph
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.check import assert_less
from tfsession.ops.compare import less_equal
from tfsession.ops.dataset import AUTOTUNE, Dataset, _batched, seeds_of
from tfsession.ops.dataset_function import ElementFunction
from tfsession.ops.gather import gather
from tfsession.ops.reduce import reduce_sum

# Begins the name of a device in the metadata of a PrefetchDataset, as kernels read it.
TO_DEVICE = b"prefetch_to_device:"
Transformation = Callable[[Dataset], Dataset]


def _shown(name: str) -> Callable[[Any], Any]:
    return export(f"data.experimental.{name}", f"contrib.data.{name}")


def _int64(value: Any, name: str) -> Tensor:
    return convert_to_tensor(value, dtype=int64, name=name)


@_shown("map_and_batch")
def map_and_batch(
    map_func: Callable[..., Any],
    batch_size: Any,
    num_parallel_batches: Any = None,
    drop_remainder: Any = False,
    num_parallel_calls: Any = None,
) -> Transformation:
    """`map` and then `batch`.

    Raises:
        ValueError: both `num_parallel_batches` and `num_parallel_calls` are given.
    """
    if num_parallel_batches is not None and num_parallel_calls is not None:
        raise ValueError(
            "`map_and_batch` allows only one of `num_parallel_batches` and `num_parallel_calls` to "
            "be set."
        )
    calls = num_parallel_calls or (num_parallel_batches or 1) * batch_size

    def transform(dataset: Dataset) -> Dataset:
        function = ElementFunction(map_func, dataset._spec, "map_and_batch")
        spec = function.spec.with_shapes(lambda s: _batched(batch_size, drop_remainder, s))
        inputs = [
            function.captured,
            _int64(batch_size, "batch_size"),
            _int64(calls, "num_parallel_calls"),
            convert_to_tensor(drop_remainder, bool_, name="drop_remainder"),
        ]
        attrs = {"f": function.attr, "preserve_cardinality": True}
        return dataset._made("MapAndBatchDataset", inputs, spec, **attrs)

    return transform


@_shown("parallel_interleave")
def parallel_interleave(
    map_func: Callable[..., Any],
    cycle_length: int,
    block_length: int = 1,
    sloppy: Any = False,
    buffer_output_elements: Any = None,
    prefetch_input_elements: Any = None,
) -> Transformation:
    """`interleave`; elements come in the order of what is deterministic, also where `sloppy`."""
    return lambda dataset: dataset.interleave(map_func, cycle_length, block_length)


@_shown("shuffle_and_repeat")
def shuffle_and_repeat(
    buffer_size: Any, count: Any = None, seed: int | None = None
) -> Transformation:
    """Elements in random order, `count` times, from a buffer that does not end with the dataset."""

    def transform(dataset: Dataset) -> Dataset:
        times = _int64(-1 if count is None else count, "count")
        inputs = [_int64(buffer_size, "buffer_size"), *seeds_of(seed), times]
        return dataset._made("ShuffleAndRepeatDataset", inputs)

    return transform


@export("contrib.data.batch_and_drop_remainder")
def batch_and_drop_remainder(batch_size: Any) -> Transformation:
    """`batch` without the last elements where they are fewer."""
    return lambda dataset: dataset.batch(batch_size, drop_remainder=True)


@_shown("ignore_errors")
def ignore_errors(log_warning: bool = False) -> Transformation:
    """The elements that can be made."""
    return lambda dataset: dataset.ignore_errors(log_warning)


@_shown("unbatch")
def unbatch() -> Transformation:
    """As the dataset's method."""
    return lambda dataset: dataset.unbatch()


@export("data.experimental.take_while")
def take_while(predicate: Callable[..., Any]) -> Transformation:
    """As the dataset's method."""
    return lambda dataset: dataset.take_while(predicate)


@_shown("scan")
def scan(initial_state: Any, scan_func: Callable[..., Any]) -> Transformation:
    """As the dataset's method."""
    return lambda dataset: dataset.scan(initial_state, scan_func)


@_shown("group_by_window")
def group_by_window(
    key_func: Callable[..., Any],
    reduce_func: Callable[..., Any],
    window_size: Any = None,
    window_size_func: Callable[..., Any] | None = None,
) -> Transformation:
    """As the dataset's method."""
    return lambda dataset: dataset.group_by_window(
        key_func, reduce_func, window_size, window_size_func
    )


@_shown("bucket_by_sequence_length")
def bucket_by_sequence_length(
    element_length_func: Callable[..., Any],
    bucket_boundaries: Sequence[int],
    bucket_batch_sizes: Sequence[int],
    padded_shapes: Any = None,
    padding_values: Any = None,
    pad_to_bucket_boundary: bool = False,
    no_padding: bool = False,
    drop_remainder: bool = False,
) -> Transformation:
    """Batches of elements of about one length, padded to the longest of each batch.

    Args:
        element_length_func: gives an integer scalar for an element.
        bucket_boundaries: lengths at which buckets begin, but for the first one.
        bucket_batch_sizes: sizes of batches, one more than there are boundaries.
        padded_shapes, padding_values: as of `padded_batch`.
        pad_to_bucket_boundary: pad to the longest that fits into the bucket. A step fails with
            InvalidArgumentError for an element that belongs into the last one, which has no end.
        no_padding: batch what is of one shape anyway.
        drop_remainder: leave the last batch of a bucket out if it is not full.

    Raises:
        ValueError: the numbers of boundaries and sizes do not fit.
    """
    if len(bucket_batch_sizes) != len(bucket_boundaries) + 1:
        raise ValueError(
            "`len(bucket_batch_sizes)` must equal `len(bucket_boundaries) + 1` but "
            f"`len(bucket_batch_sizes)={len(bucket_batch_sizes)}` and "
            f"`len(bucket_boundaries)={len(bucket_boundaries)}`."
        )

    def bucket(*element: Any) -> Tensor:
        length = cast(element_length_func(*element), int64)
        begun = cast(less_equal(convert_to_tensor(bucket_boundaries, dtype=int64), length), int64)
        return reduce_sum(begun)  # type: ignore[no-any-return]

    def size(key: Tensor) -> Tensor:
        return gather(convert_to_tensor(bucket_batch_sizes, dtype=int64), key)  # type: ignore[no-any-return]

    def batched(key: Tensor, group: Dataset) -> Dataset:
        if no_padding:
            return group.batch(size(key), drop_remainder)
        longest = longest_in(key) if pad_to_bucket_boundary else None
        return group._padded(size(key), padded_shapes, padding_values, drop_remainder, longest)

    def longest_in(key: Tensor) -> Tensor:
        ends = convert_to_tensor(bucket_boundaries, dtype=int64)
        check = assert_less(
            key,
            np.int64(len(bucket_boundaries)),
            message="When pad_to_bucket_boundary=True, elements must have length < "
            "max(bucket_boundaries).",
        )
        with get_default_graph().control_dependencies([check]):
            return gather(ends, key) - 1  # type: ignore[no-any-return]

    return lambda dataset: dataset.group_by_window(bucket, batched, window_size_func=size)


@_shown("get_single_element")
def get_single_element(dataset: Dataset) -> Any:
    """As the dataset's method."""
    return dataset.get_single_element()


@_shown("choose_from_datasets")
def choose_from_datasets(
    datasets: Any, choice_dataset: Dataset, stop_on_empty_dataset: bool = False
) -> Dataset:
    """Elements of several datasets, of which another one tells by number whose turn it is.

    Args:
        datasets: a list of datasets of elements of one kind.
        choice_dataset: int64 scalars.
        stop_on_empty_dataset: whether a dataset at its end ends all; it is passed over otherwise.

    Raises:
        TypeError: the choices are no int64 scalars.
    """
    if choice_dataset._spec.dtypes != [int64] or choice_dataset._spec.shapes != [()]:
        raise TypeError(
            "`choice_dataset` should be a `tf.data.Dataset` containing a scalar `tf.int64` tensor "
            f"but is a dataset of {choice_dataset.output_types}."
        )
    return directed(choice_dataset, datasets, stop_on_empty_dataset)


def directed(selector: Dataset, datasets: Sequence[Dataset], stops: bool) -> Dataset:
    """Elements of several datasets, of which another one tells by number whose turn it is.

    Raises:
        TypeError: the datasets have elements of various types.
    """
    spec = datasets[0]._spec
    for other in datasets[1:]:
        if not spec.is_like(other._spec):
            raise TypeError(
                "All datasets must have compatible element types, but there are "
                f"{spec.types!r} and {other.output_types!r}."
            )
        spec = spec.known_of_both(other._spec)
    attrs = {**spec.attrs, "stop_on_empty_dataset": stops}
    inputs = [selector._variant_tensor, [dataset._variant_tensor for dataset in datasets]]
    return Dataset(create_op("DirectedInterleaveDataset", inputs, attrs), spec)


@_shown("Counter")
def Counter(start: Any = 0, step: Any = 1, dtype: Any = int64) -> Dataset:
    """Numbers without end."""
    return Dataset.range(start, np.iinfo(np.int64).max, step, output_type=dtype)


@_shown("prefetch_to_device")
def prefetch_to_device(device: str, buffer_size: Any = None) -> Transformation:
    """`prefetch`, and arrays are copied to a device ahead of the step that reads them.

    A step finds them there, if it reads them there; else they are on the host, as ever. Where the
    session has no such device, this is `prefetch`.

    Args:
        device: name of a device.
        buffer_size: how many elements are made and copied ahead; a few by default.
    """

    # A message with the name of the dataset: no other attribute is free to tell it.
    metadata = nested(1, TO_DEVICE + device.encode())

    def transform(dataset: Dataset) -> Dataset:
        size = _int64(AUTOTUNE if buffer_size is None else buffer_size, "buffer_size")
        return dataset._made("PrefetchDataset", [size], metadata=metadata)

    return transform


@_shown("copy_to_device")
def copy_to_device(target_device: str, source_device: str = "/cpu:0") -> Transformation:
    """As `prefetch_to_device`, one element ahead."""
    return prefetch_to_device(target_device, 1)


@_shown("enumerate_dataset")
def enumerate_dataset(start: Any = 0) -> Transformation:
    """Pairs of a number and an element."""
    return lambda dataset: dataset.enumerate(start)
