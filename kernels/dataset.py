"""Kernels of datasets and iterators; all of it is in host memory.

The value of a dataset is the object that can be gone through, of an iterator the resource itself.
What may go on in parallel goes on one after another here, in the order of what is deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tfsession.core.dtypes import DType
from tfsession.core.errors import InvalidArgumentError
from tfsession.core.rules import kernel
from tfsession.core.shape import Shape
from tfsession.resources import dataset as kinds
from tfsession.resources import dataset_calls, dataset_csv, dataset_groups
from tfsession.resources.dataset_ahead import TO_DEVICE, PrefetchDataset
from tfsession.resources.dataset_cache import FileCacheDataset
from tfsession.resources.iterator import DatasetIterator
from tfsession.resources.reader_files import FixedLengthRecords, Lines, RecordFile
from tfsession.resources.store import DEFAULT_CONTAINER

Dataset = kinds.Dataset
_HOST: Any = {"device": "CPU", "stateful": True}


def _number(value: Any) -> int:
    return int(np.asarray(value)[()])


def _called(ctx: Any, function: Any, captured: Sequence[Any]) -> dataset_calls.ElementCall:
    """A function of the graph, with what it takes beside an element."""
    return dataset_calls.ElementCall(ctx.function(function), captured)


# --- from tensors and files -----------------------------------------------------------------------


@kernel("TensorDataset", **_HOST)
def tensor_dataset(ctx: Any, *components: Any) -> Dataset:
    """One element."""
    return kinds.TensorDataset(components)


@kernel("TensorSliceDataset", **_HOST)
def tensor_slice_dataset(ctx: Any, *components: Any) -> Dataset:
    """Rows."""
    return kinds.TensorSliceDataset(components)


@kernel("RangeDataset", **_HOST)
def range_dataset(
    ctx: Any, start: Any, stop: Any, step: Any, *, output_types: list[DType]
) -> Dataset:
    """Integers."""
    return kinds.RangeDataset(*map(_number, (start, stop, step)), output_types[0].numpy)


def _names(filenames: Any) -> list[bytes]:
    return list(np.asarray(filenames, object).reshape(-1))


def _text(value: Any) -> str:
    text: bytes = np.asarray(value, object)[()]
    return text.decode()


def _compression(value: Any) -> str:
    name = _text(value)
    if name not in ("", "GZIP", "ZLIB"):
        raise InvalidArgumentError(None, None, f"Unsupported compression_type: {name}.")
    return name


@kernel("TextLineDataset", **_HOST)
def text_line_dataset(ctx: Any, filenames: Any, compression_type: Any, buffer_size: Any) -> Dataset:
    """Lines of files."""
    compression = _compression(compression_type)
    return kinds.FileDataset(_names(filenames), lambda name: Lines(name, 0, compression))


@kernel("TFRecordDataset", **_HOST)
def tf_record_dataset(ctx: Any, filenames: Any, compression_type: Any, buffer_size: Any) -> Dataset:
    """Records of files."""
    compression = _compression(compression_type)
    return kinds.FileDataset(_names(filenames), lambda name: RecordFile(name, compression))


@kernel("FixedLengthRecordDataset", "FixedLengthRecordDatasetV2", **_HOST)
def fixed_length_record_dataset(
    ctx: Any,
    filenames: Any,
    header_bytes: Any,
    record_bytes: Any,
    footer_bytes: Any,
    buffer_size: Any,
    compression_type: Any = b"",
) -> Dataset:
    """Records of one size."""
    header, size, footer = map(_number, (header_bytes, record_bytes, footer_bytes))
    if header < 0 or footer < 0 or size <= 0:
        raise InvalidArgumentError(
            None,
            None,
            "header_bytes and footer_bytes must be >= 0 and record_bytes must be > 0, got "
            f"{header}, {footer} and {size}.",
        )
    compression = _compression(compression_type)

    def opened(name: bytes) -> FixedLengthRecords:
        records = FixedLengthRecords(name, size, header, footer, 0, compression)
        if records.body % size:
            raise InvalidArgumentError(
                None,
                None,
                f"Excluding the header ({header} bytes) and footer ({footer} bytes), input file "
                f'"{name.decode(errors="replace")}" has body length {records.body} bytes, which is '
                f"not an exact multiple of the record length ({size} bytes).",
            )
        return records

    return kinds.FileDataset(_names(filenames), opened)


@kernel("CSVDataset", **_HOST)
def csv_dataset(
    ctx: Any, filenames: Any, compression_type: Any, buffer_size: Any, header: Any,
    field_delim: Any, use_quote_delim: Any, na_value: Any, select_cols: Any,
    *record_defaults: Any, output_types: list[DType],
) -> Dataset:  # fmt: skip
    """Records of files, field by field."""
    return csv_dataset_v2(
        ctx, filenames, compression_type, buffer_size, header, field_delim, use_quote_delim,
        na_value, select_cols, *record_defaults, np.zeros(0, np.int64), output_types=output_types,
    )  # fmt: skip


@kernel("CSVDatasetV2", **_HOST)
def csv_dataset_v2(
    ctx: Any, filenames: Any, compression_type: Any, buffer_size: Any, header: Any,
    field_delim: Any, use_quote_delim: Any, na_value: Any, select_cols: Any, *others: Any,
    output_types: list[DType],
) -> Dataset:  # fmt: skip
    """As above; some fields may be left out: which ones stands last."""
    *record_defaults, exclude_cols = others
    if select_cols.size and exclude_cols.size:
        text = "Either select_cols or exclude_cols should be empty"
        raise InvalidArgumentError(None, None, text)
    csv = dataset_csv.Csv(
        _text(field_delim).encode(),
        bool(np.asarray(use_quote_delim)),
        bool(np.asarray(header)),
        frozenset((b"", _text(na_value).encode())),
        np.asarray(select_cols).tolist(),
        np.asarray(exclude_cols).tolist(),
        _compression(compression_type),
    )
    defaults = [np.asarray(default) for default in record_defaults]
    return dataset_csv.CsvDataset(_names(filenames), csv, defaults, output_types)


@kernel("GeneratorDataset", **_HOST)
def generator_dataset(
    ctx: Any,
    *others: Any,
    init_func: Any,
    next_func: Any,
    finalize_func: Any,
    Tinit_func_args: list[DType],
    Tnext_func_args: list[DType],
) -> Dataset:
    """What a function gives until it is out of range."""
    first = len(Tinit_func_args)
    second = first + len(Tnext_func_args)
    return dataset_calls.GeneratorDataset(
        _called(ctx, init_func, others[:first]),
        _called(ctx, next_func, others[first:second]),
        _called(ctx, finalize_func, others[second:]),
    )


# --- of other datasets ----------------------------------------------------------------------------


def _counted(name: str, kind: Callable[..., Dataset]) -> None:
    @kernel(f"{name}Dataset", **_HOST)
    def dataset(ctx: Any, input_dataset: Any, count: Any) -> Dataset:
        return kind(input_dataset, _number(count))


for _name in ("Repeat", "Take", "Skip"):
    _counted(_name, getattr(kinds, f"{_name}Dataset"))


@kernel("ShardDataset", **_HOST)
def shard_dataset(ctx: Any, input_dataset: Any, num_shards: Any, index: Any) -> Dataset:
    """A part of the elements."""
    return kinds.ShardDataset(input_dataset, _number(num_shards), _number(index))


@kernel("ConcatenateDataset", **_HOST)
def concatenate_dataset(ctx: Any, input_dataset: Any, another_dataset: Any) -> Dataset:
    """One after the other."""
    return kinds.ConcatenateDataset(input_dataset, another_dataset)


@kernel("ZipDataset", **_HOST)
def zip_dataset(ctx: Any, *input_datasets: Any) -> Dataset:
    """Side by side."""
    return kinds.ZipDataset(input_datasets)


@kernel("CacheDataset", **_HOST)
def cache_dataset(
    ctx: Any, input_dataset: Any, filename: Any, *, output_types: list[DType]
) -> Dataset:
    """Kept in memory, or in a file."""
    name: bytes = np.asarray(filename, object)[()]
    if name:
        return FileCacheDataset(input_dataset, name, output_types)
    return kinds.CacheDataset(input_dataset)


@kernel("PrefetchDataset", **_HOST)
def prefetch_dataset(
    ctx: Any, input_dataset: Any, buffer_size: Any, *, metadata: bytes = b""
) -> Dataset:
    """Made ahead, and copied ahead where a device is named."""
    size = _number(buffer_size)
    if size < -1:
        raise kinds.refused("buffer_size must be >= 0 or set buffer_size to be -1")
    _, is_for_device, name = metadata.partition(TO_DEVICE)
    device = ctx.find_device(name.decode()) if is_for_device else None
    return PrefetchDataset(input_dataset, size, device)


@kernel("OptionsDataset", **_HOST)
def same_dataset(ctx: Any, input_dataset: Any, *others: Any) -> Dataset:
    """As it is."""
    return input_dataset  # type: ignore[no-any-return]


@kernel("ShuffleDataset", **_HOST)
def shuffle_dataset(
    ctx: Any,
    input_dataset: Any,
    buffer_size: Any,
    seed: Any,
    seed2: Any,
    *,
    reshuffle_each_iteration: bool,
) -> Dataset:
    """In random order."""
    seeds = _number(seed), _number(seed2)
    return dataset_groups.ShuffleDataset(
        input_dataset, _number(buffer_size), seeds, reshuffle_each_iteration
    )


@kernel("ShuffleAndRepeatDataset", **_HOST)
def shuffle_and_repeat_dataset(
    ctx: Any,
    input_dataset: Any,
    buffer_size: Any,
    seed: Any,
    seed2: Any,
    count: Any,
    *,
    reshuffle_each_iteration: bool,
) -> Dataset:
    """In random order, several times."""
    return dataset_groups.ShuffleDataset(
        input_dataset,
        _number(buffer_size),
        (_number(seed), _number(seed2)),
        reshuffle_each_iteration,
        _number(count),
    )


def _batched(dataset: Dataset, size: Any, drops: bool) -> Dataset:
    is_mapped = isinstance(dataset, dataset_calls.MapDataset)
    stack = dataset_groups.stacked
    return dataset_groups.BatchDataset(dataset, _number(size), drops, stack, is_mapped)


@kernel("BatchDataset", "BatchDatasetV2", **_HOST)
def batch_dataset(
    ctx: Any, input_dataset: Any, batch_size: Any, drop_remainder: Any = False
) -> Dataset:
    """Several at a time."""
    drops = bool(np.asarray(drop_remainder))
    return _batched(input_dataset, batch_size, drops)


def _padded(version: str, drops_last: bool) -> None:
    @kernel(f"PaddedBatchDataset{version}", **_HOST)
    def padded_batch_dataset(
        ctx: Any, input_dataset: Any, batch_size: Any, *others: Any, N: int
    ) -> Dataset:
        shapes: list[Shape] = [
            tuple(None if size < 0 else int(size) for size in np.asarray(shape))
            for shape in others[:N]
        ]
        values = others[N : 2 * N]
        drops = drops_last and bool(np.asarray(others[-1]))
        stack = partial(dataset_groups.padded, shapes, values)
        return dataset_groups.BatchDataset(input_dataset, _number(batch_size), drops, stack)


_padded("", False)
_padded("V2", True)


@kernel("WindowDataset", **_HOST)
def window_dataset(
    ctx: Any, input_dataset: Any, size: Any, shift: Any, stride: Any, drop_remainder: Any
) -> Dataset:
    """Datasets of neighbours."""
    numbers = map(_number, (size, shift, stride))
    return dataset_groups.WindowDataset(input_dataset, *numbers, bool(np.asarray(drop_remainder)))


# --- by functions ---------------------------------------------------------------------------------


@kernel("MapDataset", "ParallelMapDataset", "ParallelMapDatasetV2", **_HOST)
def map_dataset(
    ctx: Any, input_dataset: Any, *others: Any, f: Any, Targuments: list[DType]
) -> Dataset:
    """Through a function."""
    return dataset_calls.MapDataset(input_dataset, _called(ctx, f, others[: len(Targuments)]))


@kernel("FilterDataset", **_HOST)
def filter_dataset(ctx: Any, input_dataset: Any, *others: Any, predicate: Any) -> Dataset:
    """Those that a function wants."""
    return dataset_calls.FilterDataset(input_dataset, _called(ctx, predicate, others))


@kernel("FlatMapDataset", **_HOST)
def flat_map_dataset(ctx: Any, input_dataset: Any, *others: Any, f: Any) -> Dataset:
    """Datasets for elements, one after another."""
    return dataset_calls.InterleaveDataset(input_dataset, _called(ctx, f, others))


@kernel(
    "InterleaveDataset",
    "ParallelInterleaveDataset",
    *(f"ParallelInterleaveDatasetV{version}" for version in (2, 3, 4)),
    "LegacyParallelInterleaveDatasetV2",
    **_HOST,
)
def interleave_dataset(
    ctx: Any, input_dataset: Any, *others: Any, f: Any, Targuments: list[DType]
) -> Dataset:
    """Datasets for elements, in turn."""
    count = len(Targuments)
    cycle, block = map(_number, others[count : count + 2])
    return dataset_calls.InterleaveDataset(
        input_dataset, _called(ctx, f, others[:count]), _CYCLE if cycle < 0 else cycle, block
    )


# What TensorFlow's AUTOTUNE stands for is its own matter.
_CYCLE = 10


@kernel("MapAndBatchDataset", **_HOST)
def map_and_batch_dataset(
    ctx: Any, input_dataset: Any, *others: Any, f: Any, Targuments: list[DType]
) -> Dataset:
    """Through a function, several at a time."""
    count = len(Targuments)
    size, _, drops = others[count:]
    mapped = dataset_calls.MapDataset(input_dataset, _called(ctx, f, others[:count]))
    return _batched(mapped, size, bool(np.asarray(drops)))


@kernel("ReduceDataset", **_HOST)
def reduce_dataset(ctx: Any, input_dataset: Any, *others: Any, f: Any, Tstate: list[DType]) -> Any:
    """What a function makes of a state and all elements."""
    state, captured = others[: len(Tstate)], others[len(Tstate) :]
    call = ctx.function(f)
    for element in input_dataset:
        state = call(*state, *element, *captured)
    return tuple(state)


# --- iterators ------------------------------------------------------------------------------------


def _iterator(
    ctx: Any, container: bytes, shared_name: bytes, types: list[DType], shapes: list[Shape]
) -> DatasetIterator:
    found: DatasetIterator | None = ctx.state.get("iterator")
    if found is None:
        where, store = container.decode() or DEFAULT_CONTAINER, ctx.resources
        name = shared_name.decode() or store.unique_name(ctx.name)
        found = store.get_or_create(
            where, name, DatasetIterator, lambda: DatasetIterator(name, where, types, shapes)
        )
        ctx.state["iterator"] = found
    return found


@kernel("Iterator", "IteratorV2", **_HOST)
def iterator(
    ctx: Any,
    *,
    shared_name: bytes,
    container: bytes,
    output_types: list[DType],
    output_shapes: list[Shape],
) -> DatasetIterator:
    """An iterator without a dataset."""
    return _iterator(ctx, container, shared_name, output_types, output_shapes)


@kernel("OneShotIterator", **_HOST)
def one_shot_iterator(
    ctx: Any,
    *,
    dataset_factory: Any,
    output_types: list[DType],
    output_shapes: list[Shape],
    container: bytes,
    shared_name: bytes,
) -> DatasetIterator:
    """An iterator of the dataset that a function makes, at its start when first met."""
    found = _iterator(ctx, container, shared_name, output_types, output_shapes)
    found.begin_once(lambda: ctx.function(dataset_factory)()[0])
    return found


@kernel("MakeIterator", **_HOST)
def make_iterator(ctx: Any, dataset: Any, iterator: Any) -> None:
    """Go to the start of a dataset."""
    iterator.begin(dataset)


@kernel("IteratorGetNext", "IteratorGetNextSync", host_outputs=["components"], stateful=True)
def iterator_get_next(ctx: Any, iterator: Any) -> Any:
    """The next element."""
    return iterator.next()


@kernel("IteratorToStringHandle", **_HOST)
def iterator_to_string_handle(ctx: Any, resource_handle: Any) -> Any:
    """A text that stands for an iterator of this session."""
    return kinds.text_value(f"{resource_handle.container}\n{resource_handle.name}".encode())


@kernel("IteratorFromStringHandle", "IteratorFromStringHandleV2", **_HOST)
def iterator_from_string_handle(
    ctx: Any, string_handle: Any, *, output_types: list[DType], output_shapes: list[Shape]
) -> DatasetIterator:
    """The iterator that a text stands for; InvalidArgumentError if it gives other elements."""
    container, _, name = _text(string_handle).partition("\n")
    found: DatasetIterator | None = ctx.resources.lookup(container, name, DatasetIterator)
    if found is None:
        raise InvalidArgumentError(
            None,
            None,
            f"The handle {_text(string_handle)!r} is that of no iterator of this session.",
        )
    found.check(output_types, output_shapes)
    return found
