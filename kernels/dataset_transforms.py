"""Kernels of datasets that choose among elements, take them apart, or group them."""

from __future__ import annotations

from functools import partial
from typing import Any

from tfsession.core.dtypes import DType
from tfsession.core.rules import kernel
from tfsession.resources import dataset_transforms as kinds
from tfsession.resources.dataset import Dataset
from tfsession.resources.dataset_calls import ElementCall

_HOST: Any = {"device": "CPU", "stateful": True}


@kernel("UnbatchDataset", **_HOST)
def unbatch_dataset(ctx: Any, input_dataset: Any) -> Dataset:
    """Rows."""
    return kinds.StepsDataset(input_dataset, kinds.UnbatchSteps)


@kernel("UniqueDataset", **_HOST)
def unique_dataset(ctx: Any, input_dataset: Any) -> Dataset:
    """Each but once."""
    return kinds.StepsDataset(input_dataset, kinds.UniqueSteps)


@kernel("RandomDataset", **_HOST)
def random_dataset(ctx: Any, seed: Any, seed2: Any) -> Dataset:
    """Random numbers."""
    return kinds.RandomDataset(int(seed), int(seed2))


@kernel("IgnoreErrorsDataset", **_HOST)
def ignore_errors_dataset(ctx: Any, input_dataset: Any) -> Dataset:
    """What can be made."""
    return kinds.StepsDataset(input_dataset, kinds.IgnoreErrorsSteps)


@kernel("TakeWhileDataset", **_HOST)
def take_while_dataset(ctx: Any, input_dataset: Any, *others: Any, predicate: Any) -> Dataset:
    """The first ones that a function wants."""
    wanted = ElementCall(ctx.function(predicate), others)
    return kinds.StepsDataset(input_dataset, partial(kinds.TakeWhileSteps, predicate=wanted))


@kernel("ScanDataset", **_HOST)
def scan_dataset(
    ctx: Any, input_dataset: Any, *others: Any, f: Any, Tstate: list[DType]
) -> Dataset:
    """Through a function that has a state."""
    count = len(Tstate)
    call = ElementCall(ctx.function(f), others[count:])
    begin = partial(kinds.ScanSteps, state=others[:count], function=call)
    return kinds.StepsDataset(input_dataset, begin)


@kernel("GroupByWindowDataset", **_HOST)
def group_by_window_dataset(
    ctx: Any,
    input_dataset: Any,
    *others: Any,
    key_func: Any,
    reduce_func: Any,
    window_size_func: Any,
    Tkey_func_other_arguments: list[DType],
    Treduce_func_other_arguments: list[DType],
) -> Dataset:
    """By keys."""
    first = len(Tkey_func_other_arguments)
    second = first + len(Treduce_func_other_arguments)
    begin = partial(
        kinds.GroupByWindowSteps,
        key=ElementCall(ctx.function(key_func), others[:first]),
        reduce=ElementCall(ctx.function(reduce_func), others[first:second]),
        size=ElementCall(ctx.function(window_size_func), others[second:]),
    )
    return kinds.StepsDataset(input_dataset, begin)


@kernel("DirectedInterleaveDataset", **_HOST)
def directed_interleave_dataset(
    ctx: Any, selector_input_dataset: Any, *data_input_datasets: Any, stop_on_empty_dataset: bool
) -> Dataset:
    """By numbers of datasets."""
    return kinds.DirectedDataset(selector_input_dataset, data_input_datasets, stop_on_empty_dataset)


@kernel("DatasetToSingleElement", **_HOST)
def dataset_to_single_element(ctx: Any, dataset: Any) -> Any:
    """The one element."""
    return kinds.single(dataset)
