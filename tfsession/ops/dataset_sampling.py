"""Datasets by chance: random numbers, elements of several datasets, classes in other shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tfsession.core.dtypes import float32, float64, int64
from tfsession.core.exports import export
from tfsession.graph.constant_value import constant_value
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.cast import cast
from tfsession.ops.constant import fill
from tfsession.ops.dataset import Dataset, seeds_of
from tfsession.ops.dataset_experimental import directed
from tfsession.ops.dataset_structure import ElementSpec
from tfsession.ops.gather import gather
from tfsession.ops.random import random_uniform
from tfsession.ops.reduce import reduce_max, reduce_min, reduce_sum
from tfsession.ops.sequence import one_hot
from tfsession.ops.shape import expand_dims, shape, squeeze
from tfsession.ops.stateless_random import stateless_multinomial
from tfsession.ops.unary import log

# Of how many elements classes are counted at a time, and as how often each was seen before.
_COUNTED = 32
_SEEN_BEFORE = 10


@export("data.experimental.RandomDataset")
class RandomDataset(Dataset):
    """Random int64 numbers from 0 to 2**32 - 1, without end, the same each time.

    Args:
        seed: with the graph's seed it decides the numbers, which are TensorFlow's.
        rerandomize_each_iteration: not supported: they are the same each time.
        name: not used.
    """

    def __init__(
        self, seed: int | None = None, rerandomize_each_iteration: Any = None, name: Any = None
    ) -> None:
        if rerandomize_each_iteration:
            raise NotImplementedError("rerandomize_each_iteration is not supported.")
        spec = ElementSpec.declared(int64, ())
        super().__init__(create_op("RandomDataset", seeds_of(seed), spec.attrs), spec)


@export("data.experimental.sample_from_datasets", "contrib.data.sample_from_datasets")
def sample_from_datasets(
    datasets: Sequence[Dataset],
    weights: Any = None,
    seed: int | None = None,
    stop_on_empty_dataset: bool = False,
) -> Dataset:
    """Elements of several datasets; chance says each time of which the next one is.

    Args:
        datasets: of elements of one kind.
        weights: how likely each of them is: numbers or a tensor, or a dataset of such, of which
            each element counts for one choice. All are as likely if not given.
        seed: with the graph's seed it decides the choices, which are TensorFlow's.
        stop_on_empty_dataset: whether a dataset at its end ends all; it is passed over otherwise.

    Raises:
        ValueError: there are no datasets, or not as many as weights.
        TypeError: the weights are neither float32 nor float64.
    """
    if not datasets:
        raise ValueError("Invalid `datasets`. `datasets` should not be empty.")
    if isinstance(weights, Dataset):
        logits = weights.map(lambda *parts: log(parts, name="logits"))
        both = Dataset.zip((logits, RandomDataset(seed).batch(2)))
        return directed(both.map(_chosen), datasets, stop_on_empty_dataset)
    likely: Any = [[1.0] * len(datasets)]
    if weights is not None:
        datasets, weights = _weighted(datasets, weights)
        likely = expand_dims(log(weights, name="logits"), 0)
    if len(datasets) == 1:
        return datasets[0]
    choices = RandomDataset(seed).batch(2).map(lambda seed: _chosen(likely, seed))
    return directed(choices, datasets, stop_on_empty_dataset)


def _chosen(logits: Any, seed: Tensor) -> Tensor:
    return squeeze(stateless_multinomial(logits, 1, seed), axis=[0, 1])  # type: ignore[no-any-return]


def _weighted(datasets: Sequence[Dataset], weights: Any) -> tuple[Sequence[Dataset], Tensor]:
    """The datasets that are likely at all, and how likely each is."""
    if isinstance(weights, Tensor):
        if not weights.shape.is_compatible_with([len(datasets)]):
            raise ValueError(
                "Invalid `weights`. The shape of `weights` should be compatible with "
                f"`[len(datasets)]` but is {weights.shape}."
            )
    elif len(weights) != len(datasets):
        raise ValueError(
            "Invalid `weights`. `weights` should have the same length as `datasets` but got "
            f"`len(weights)={len(weights)}` vs. `len(datasets)={len(datasets)}`."
        )
    else:
        kept = [pair for pair in zip(datasets, weights, strict=True) if pair[1] > 0]
        datasets = [dataset for dataset, _ in kept] or [datasets[0].take(0)]
        weights = [weight for _, weight in kept] or [1.0]
    tensor = convert_to_tensor(weights, name="weights")
    if tensor.dtype not in (float32, float64):
        raise TypeError(
            "Invalid `weights`. `weights` type must be either `tf.float32` or `tf.float64` but is "
            f"{tensor.dtype}."
        )
    return datasets, tensor


@export("data.experimental.rejection_resample", "contrib.data.rejection_resample")
def rejection_resample(
    class_func: Callable[..., Any],
    target_dist: Any,
    initial_dist: Any = None,
    seed: int | None = None,
) -> Callable[[Dataset], Dataset]:
    """Elements of which classes have other shares, because some are left out by chance.

    Args:
        class_func: gives an integer scalar for an element, its class.
        target_dist: the share that each class is to have, a vector of floats.
        initial_dist: the share that it has in the dataset; if not given, what was seen so far.
        seed: makes the choice repeatable.

    Returns:
        A function for `Dataset.apply`; elements of its result are pairs of a class and an element.
    """

    def transform(dataset: Dataset) -> Dataset:
        target = convert_to_tensor(target_dist, name="target_dist")
        if initial_dist is None:
            shares = _seen_shares(dataset.map(class_func), target)
            terms = shares.map(lambda initial: _terms(initial, target))
        else:
            initial = convert_to_tensor(initial_dist, name="initial_dist")
            shares = Dataset.from_tensors(initial).repeat()
            terms = Dataset.from_tensors(_terms(initial, target)).repeat()

        def classified(*element: Any) -> Any:
            return class_func(*element), element if len(element) > 1 else element[0]

        everything = dataset.map(classified)
        likely = terms.map(lambda accepted, _: accepted)
        wanted = Dataset.zip((likely, everything)).map(
            lambda accepted, pair: (pair[0], gather(accepted, pair[0]), pair[1])
        )
        wanted = wanted.filter(
            lambda _, chance, element: random_uniform([], seed=seed, dtype=chance.dtype) < chance
        )
        wanted = wanted.map(lambda found, _, element: (found, element)).prefetch(3)
        least = None if initial_dist is None else _least_ratio(initial, target)
        if least in (0, 1):
            return everything if least else wanted
        weights = terms.map(lambda _, share: [(share, 1.0 - share)])
        return sample_from_datasets([everything, wanted], weights, seed, True)

    return transform


def _ratio(initial: Tensor, target: Tensor) -> Tensor:
    """How much more often each class is to be there."""
    return target / (initial + np.finfo(initial.dtype.as_numpy_dtype).tiny)  # type: ignore[no-any-return]


def _least_ratio(initial: Tensor, target: Tensor) -> Any:
    shares = constant_value(initial), constant_value(target)
    if shares[0] is None or shares[1] is None:
        return None
    return np.min(shares[1] / (shares[0] + np.finfo(shares[0].dtype).tiny))


def _terms(initial: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """How likely an element of each class is taken; what share of elements is taken as it is."""
    ratio = _ratio(initial, target)
    least = reduce_min(ratio)
    return (ratio - least) / (reduce_max(ratio) - least), least


def _seen_shares(classes: Dataset, target: Tensor) -> Dataset:
    """For each element the shares of classes, as far as they were seen when its batch was read."""
    known = target._shape[0] if target._shape else None
    count = known if known is not None else shape(target)[0]

    def counted(seen: Tensor, found: Tensor) -> Any:
        seen = seen + reduce_sum(one_hot(found, count, dtype=int64), 0)
        shares = cast(seen / reduce_sum(seen), float32)
        return seen, create_op("Tile", [expand_dims(shares, 0), [_COUNTED, 1]])

    begun = fill([count], np.int64(_SEEN_BEFORE))
    return classes.batch(_COUNTED).scan(begun, counted).unbatch()  # type: ignore[no-any-return]


@export("data.experimental.unique", "contrib.data.unique")
def unique() -> Callable[[Dataset], Dataset]:
    """Each element but once: int32, int64 or string scalars, or arrays of such.

    Raises:
        TypeError: elements have several components, or another dtype.
    """
    return lambda dataset: dataset.unique()
