"""`tf.data.Dataset`: sequences of elements, described in the graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from tfsession.core.dtypes import bool_, int64, string
from tfsession.core.exports import export, export_value
from tfsession.core.shape import Shape, to_shape
from tfsession.graph.create import convert_to_tensor, create_op
from tfsession.graph.tensor import Tensor
from tfsession.ops.constant import constant, zeros
from tfsession.ops.dataset_function import ElementFunction, dataset_function
from tfsession.ops.dataset_generator import GeneratorState
from tfsession.ops.dataset_structure import (
    ElementSpec,
    components_of,
    is_structure,
    known_of_both,
    normalized,
    packed,
    tensors_of,
)
from tfsession.ops.dataset_transforms import Transforms
from tfsession.ops.iterator import Iterator, initializable_iterator, one_shot_iterator
from tfsession.ops.join import stack
from tfsession.ops.random import get_seed

AUTOTUNE = -1
export_value(AUTOTUNE, "data.experimental.AUTOTUNE", "data.AUTOTUNE")
_LAST_SEED = 2**31 - 1


def _int64(value: Any, name: str) -> Tensor:
    return convert_to_tensor(value, dtype=int64, name=name)


def _batched(size: Any, drop_remainder: Any, shape: Shape) -> Shape:
    known = int(size) if drop_remainder is True and isinstance(size, int | np.integer) else None
    return None if shape is None else (known, *shape)


@export("data.Dataset")
class Dataset(Transforms):
    """A sequence of elements; each is a structure of tensors.

    It is made by the functions of this class, not by calling it. What a step takes of it comes
    through an iterator.

    Example:
        `x = tf.data.Dataset.range(10).batch(2).make_one_shot_iterator().get_next()`
    """

    def __init__(self, variant_tensor: Tensor, spec: ElementSpec) -> None:
        self._variant_tensor = variant_tensor
        self._spec = spec

    def __iter__(self) -> NoReturn:
        raise RuntimeError(
            "__iter__() is only supported inside of tf.function or when eager execution is "
            "enabled: make an iterator of the dataset, and run what its get_next() gives."
        )

    def __repr__(self) -> str:
        return f"<Dataset shapes: {self.output_shapes}, types: {self.output_types}>"

    def _made(
        self, kind: str, inputs: Sequence[Any] = (), spec: ElementSpec | None = None, **attrs: Any
    ) -> Dataset:
        """A dataset that reads this one."""
        spec = spec or self._spec
        variant = create_op(kind, [self._variant_tensor, *inputs], {**spec.attrs, **attrs})
        return Dataset(variant, spec)

    def _like(self, variant: Any) -> Dataset:
        return Dataset(variant, self._spec)

    # --- from tensors ---------------------------------------------------------------------------

    @staticmethod
    def from_tensors(tensors: Any, name: str | None = None) -> Dataset:
        """One element: these tensors."""
        tensors = normalized(tensors)
        spec = ElementSpec.of(tensors)
        attrs = {"output_shapes": spec.shapes}
        variant = create_op("TensorDataset", [tensors_of(tensors)], attrs, name)
        return Dataset(variant, spec)

    @staticmethod
    def from_tensor_slices(tensors: Any, name: str | None = None) -> Dataset:
        """The rows of these tensors, all of which have as many.

        Raises:
            ValueError: a tensor is a scalar, or they are known to have various sizes.
        """
        tensors = normalized(tensors)
        spec = ElementSpec.of(tensors)
        if () in spec.told_shapes:
            raise ValueError("Unbatching a tensor is only supported for rank >= 1")
        rows = {shape[0] for shape in spec.told_shapes if shape} - {None}
        if len(rows) > 1:
            raise ValueError(
                f"Dimensions {' and '.join(map(str, sorted(rows)))} are not compatible"
            )
        spec = spec.with_shapes(lambda s: None if s is None else s[1:])
        attrs, flat = {"output_shapes": spec.shapes}, tensors_of(tensors, by_rows=True)
        return Dataset(create_op("TensorSliceDataset", [flat], attrs, name), spec)

    @staticmethod
    def range(*args: Any, **kwargs: Any) -> Dataset:
        """Integers as Python's `range` gives them: `range(stop)`, `range(start, stop, step)`.

        Args:
            args: one to three numbers.
            kwargs: `output_type`, int64 by default.
        """
        if not 1 <= len(args) <= 3:
            raise ValueError(f"Invalid `args`. The length of `args` should be in 1, 2, 3: {args}")
        start, stop, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
        spec = ElementSpec.declared(kwargs.pop("output_type", int64), ())
        inputs = [_int64(v, n) for v, n in ((start, "start"), (stop, "stop"), (step, "step"))]
        return Dataset(create_op("RangeDataset", inputs, spec.attrs), spec)

    @staticmethod
    def zip(*args: Any, datasets: Any = None, name: str | None = None) -> Dataset:
        """Elements side by side: for a structure of datasets, structures of their elements.

        Raises:
            TypeError: there is something else than a dataset.
        """
        if datasets is None:
            datasets = args[0] if len(args) == 1 else args
        if isinstance(datasets, list):
            raise TypeError("Dataset.zip takes a tuple or a dict of datasets, not a list.")
        parts = components_of(datasets)
        for part in parts:
            if not isinstance(part, Dataset):
                raise TypeError(f"Invalid `datasets`: {part!r} is no Dataset.")
        spec = ElementSpec(
            packed(datasets, [part._spec.structure for part in parts]),
            [dtype for part in parts for dtype in part._spec.dtypes],
            [shape for part in parts for shape in part._spec.shapes],
        )
        variants = [part._variant_tensor for part in parts]
        return Dataset(create_op("ZipDataset", [variants], spec.attrs, name), spec)

    @staticmethod
    def from_generator(
        generator: Callable[..., Any],
        output_types: Any = None,
        output_shapes: Any = None,
        args: Any = None,
        output_signature: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """What a Python generator yields, called anew each time that somebody goes through.

        Args:
            generator: a function that gives an iterable of elements.
            output_types: a structure of dtypes.
            output_shapes: a structure of shapes; unknown if not given.
            args: tensors whose values `generator` gets.
            output_signature: not supported: give types and shapes.
            name: not used.

        Raises:
            TypeError: `generator` is no function, or there are no types.
        """
        if not callable(generator):
            raise TypeError("`generator` must be a Python callable.")
        if output_types is None:
            raise TypeError("To create a dataset from a generator, you must specify output_types.")
        spec = ElementSpec.declared(output_types, output_shapes)
        state = GeneratorState(generator, spec)

        def started(*values: Tensor) -> Dataset:
            return Dataset(state.dataset(() if args is None else values), spec)

        # In a function, so that the generator begins anew with each iterator.
        from_values = Dataset.from_tensors(np.int32(0) if args is None else tuple(args))
        return from_values.flat_map(started)

    @staticmethod
    def list_files(
        file_pattern: Any, shuffle: bool | None = None, seed: int | None = None, name: Any = None
    ) -> Dataset:
        """The names of files that fit patterns, in random order unless `shuffle` is False."""
        files = create_op("MatchingFiles", [convert_to_tensor(file_pattern, dtype=string)])
        dataset = Dataset.from_tensor_slices(files)
        if shuffle is False:
            return dataset
        count = create_op("Maximum", [create_op("Size", [files], {"out_type": int64}), 1])
        return dataset.shuffle(count, seed=seed)

    # --- of elements ----------------------------------------------------------------------------

    def concatenate(self, dataset: Dataset, name: str | None = None) -> Dataset:
        """These elements, then those of another dataset of the same types.

        Raises:
            TypeError: the types differ.
        """
        if not self._spec.is_like(dataset._spec):
            raise TypeError(
                f"Incompatible types of input datasets: {self.output_types} vs. "
                f"{dataset.output_types}."
            )
        spec = self._spec.known_of_both(dataset._spec)
        return self._made("ConcatenateDataset", [dataset._variant_tensor], spec)

    def repeat(self, count: Any = None, name: str | None = None) -> Dataset:
        """These elements `count` times; without end if None or -1."""
        return self._made("RepeatDataset", [_int64(-1 if count is None else count, "count")])

    def take(self, count: Any, name: str | None = None) -> Dataset:
        """The first elements; all for -1."""
        return self._made("TakeDataset", [_int64(count, "count")])

    def skip(self, count: Any, name: str | None = None) -> Dataset:
        """All but the first elements; none for -1."""
        return self._made("SkipDataset", [_int64(count, "count")])

    def shard(self, num_shards: Any, index: Any, name: str | None = None) -> Dataset:
        """Every `num_shards`-th element, from `index` on."""
        inputs = [_int64(num_shards, "num_shards"), _int64(index, "index")]
        return self._made("ShardDataset", inputs)

    def cache(self, filename: Any = "", name: str | None = None) -> Dataset:
        """The same elements, kept once somebody went through all, and read from there.

        Args:
            filename: begins the name of the file that keeps them; in memory if it is empty. Each
                process that goes through finds them, as long as the file is there.
            name: not used.
        """
        return self._made("CacheDataset", [convert_to_tensor(filename, string, name="filename")])

    def prefetch(self, buffer_size: Any, name: str | None = None) -> Dataset:
        """The same elements; so many are made ahead by a thread, where they take long to make.

        Args:
            buffer_size: how many; `AUTOTUNE` for a few.
            name: not used.
        """
        return self._made("PrefetchDataset", [_int64(buffer_size, "buffer_size")])

    def shuffle(
        self,
        buffer_size: Any,
        seed: int | None = None,
        reshuffle_each_iteration: bool | None = None,
        name: str | None = None,
    ) -> Dataset:
        """The elements in random order, chosen from a buffer of those that come next.

        Args:
            buffer_size: how many elements there are to choose from.
            seed: with the graph's seed it decides the order, which is TensorFlow's.
            reshuffle_each_iteration: whether the order is another each time; True by default.
            name: not used.
        """
        inputs = [_int64(buffer_size, "buffer_size"), *seeds_of(seed)]
        reshuffles = reshuffle_each_iteration is not False
        return self._made("ShuffleDataset", inputs, reshuffle_each_iteration=reshuffles)

    def batch(
        self,
        batch_size: Any,
        drop_remainder: Any = False,
        num_parallel_calls: Any = None,
        deterministic: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """Several elements at a time, stacked; the last ones may be fewer.

        Args:
            batch_size: how many.
            drop_remainder: leave the last ones out if they are fewer.
            num_parallel_calls, deterministic, name: accepted.
        """
        spec = self._spec.with_shapes(lambda shape: _batched(batch_size, drop_remainder, shape))
        drops = convert_to_tensor(drop_remainder, bool_, name="drop_remainder")
        return self._made("BatchDatasetV2", [_int64(batch_size, "batch_size"), drops], spec)

    def padded_batch(
        self,
        batch_size: Any,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: Any = False,
        name: str | None = None,
    ) -> Dataset:
        """As `batch`, of elements of various sizes, filled up to one.

        Args:
            batch_size: how many.
            padded_shapes: a structure of shapes; what is None or -1 in them becomes the largest of
                the batch. Those of the elements by default.
            padding_values: a structure of scalars; zeros and empty strings by default.
            drop_remainder: leave the last ones out if they are fewer.
            name: not used.

        Raises:
            ValueError: a rank is not known, or the shapes do not fit.
            TypeError: there are sparse tensors among the elements.
        """
        return self._padded(batch_size, padded_shapes, padding_values, drop_remainder)

    def _padded(
        self,
        batch_size: Any,
        padded_shapes: Any,
        padding_values: Any,
        drop_remainder: Any,
        unknown: Tensor | None = None,
    ) -> Dataset:
        """As `padded_batch`; what is not known of shapes is of size `unknown`, if that is given."""
        own = self._spec
        if own.has_sparse:
            raise TypeError(
                "Batching of padded sparse tensors is not currently supported: use batch(), which "
                "makes one sparse tensor of several, as large as the largest."
            )
        shapes = list(own.shapes)
        if padded_shapes is not None:
            declared = ElementSpec.declared(own.types, _as_shapes(own.structure, padded_shapes))
            shapes = declared.shapes
        if any(shape is None for shape in shapes):
            raise ValueError(
                "You must provide `padded_shapes` argument because component ranks are not known: "
                f"{self.output_shapes}."
            )
        given = [None] * len(shapes) if padding_values is None else components_of(padding_values)
        if len(given) == 1:
            given = given * len(shapes)
        values = [
            zeros([], dtype) if value is None else convert_to_tensor(value, dtype)
            for value, dtype in zip(given, own.dtypes, strict=True)
        ]
        sizes = [
            constant([-1 if size is None else size for size in shape or ()], int64)
            if unknown is None or None not in (shape or ())
            else stack([_int64(unknown if size is None else size, "size") for size in shape or ()])
            for shape in shapes
        ]
        spec = ElementSpec(own.structure, own.dtypes, shapes)
        spec = spec.with_shapes(lambda shape: _batched(batch_size, drop_remainder, shape))
        drops = convert_to_tensor(drop_remainder, bool_, name="drop_remainder")
        inputs = [self._variant_tensor, _int64(batch_size, "batch_size"), sizes, values, drops]
        attrs = {"output_shapes": spec.shapes}
        return Dataset(create_op("PaddedBatchDatasetV2", inputs, attrs), spec)

    # --- by functions ---------------------------------------------------------------------------

    def map(
        self,
        map_func: Callable[..., Any],
        num_parallel_calls: Any = None,
        deterministic: Any = None,
        synchronous: Any = None,
        use_unbounded_threadpool: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """What a function gives for each element.

        Args:
            map_func: takes the parts of an element that is a tuple one by one, any other as it is;
                gives a structure of tensors.
            num_parallel_calls: accepted; calls come one after another.
            deterministic, synchronous, use_unbounded_threadpool, name: accepted.
        """
        function = ElementFunction(map_func, self._spec, "map")
        attrs = {"f": function.attr, "preserve_cardinality": True}
        if num_parallel_calls is None:
            return self._made("MapDataset", [function.captured], function.spec, **attrs)
        calls = _int64(num_parallel_calls, "num_parallel_calls")
        inputs = [function.captured, calls]
        return self._made("ParallelMapDatasetV2", inputs, function.spec, **attrs)

    def filter(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements for which a function gives true.

        Raises:
            ValueError: it gives something else than a bool scalar.
        """
        function = ElementFunction(predicate, self._spec, "filter")
        spec = function.spec
        if spec.dtypes != [bool_] or is_structure(spec.structure):
            raise ValueError(
                "Invalid `predicate`. `predicate` must return a `tf.bool` scalar tensor, but its "
                f"return type is {function.spec.types}."
            )
        return self._made("FilterDataset", [function.captured], predicate=function.attr)

    def flat_map(self, map_func: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements of the datasets that a function gives for elements, one after another.

        Raises:
            TypeError: it gives something else than a dataset.
        """
        function, spec = dataset_function(map_func, self._spec, "flat_map")
        return self._made("FlatMapDataset", [function.captured], spec, f=function.attr)

    def interleave(
        self,
        map_func: Callable[..., Any],
        cycle_length: Any = None,
        block_length: Any = None,
        num_parallel_calls: Any = None,
        deterministic: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """The elements of the datasets that a function gives for elements, taken in turn.

        Args:
            map_func: gives a dataset for an element.
            cycle_length: from how many of these elements are taken in turn.
            block_length: how many are taken from one before it is the next one's turn.
            num_parallel_calls, deterministic, name: accepted; elements come in the order of what is
                deterministic.

        Raises:
            TypeError: `map_func` gives something else than a dataset.
        """
        function, spec = dataset_function(map_func, self._spec, "interleave")
        inputs = [
            function.captured,
            _int64(AUTOTUNE if cycle_length is None else cycle_length, "cycle_length"),
            _int64(1 if block_length is None else block_length, "block_length"),
        ]
        return self._made("InterleaveDataset", inputs, spec, f=function.attr)

    def reduce(self, initial_state: Any, reduce_func: Callable[..., Any], name: Any = None) -> Any:
        """What a function makes of a state and one element after the other; tensors, no dataset.

        Args:
            initial_state: a structure of tensors.
            reduce_func: takes a state and an element, gives the next state.
            name: not used.

        Raises:
            TypeError: it gives other types than the state has.
        """
        state = normalized(initial_state)
        own = ElementSpec.of(state)
        shapes = own.shapes
        while True:
            both = ElementSpec(
                (own.structure, self._spec.structure),
                [*own.dtypes, *self._spec.dtypes],
                [*shapes, *self._spec.shapes],
            )
            function = ElementFunction(reduce_func, both, "reduce")
            kept = list(map(known_of_both, shapes, function.spec.shapes))
            if kept == shapes:
                break
            shapes = kept  # the state changes its shape on the way: less is known of it
        if function.spec.dtypes != own.dtypes:
            raise TypeError(
                f"The types of the new state must match those of the initial state: {own.types} "
                f"vs. {function.spec.types}."
            )
        spec = ElementSpec(own.structure, own.dtypes, shapes)
        outputs = create_op(
            "ReduceDataset",
            [self._variant_tensor, tensors_of(state), function.captured],
            {"f": function.attr, **spec.attrs},
        )
        return spec.element(list(outputs) if isinstance(outputs, list | tuple) else [outputs])

    def apply(self, transformation_func: Callable[[Dataset], Dataset]) -> Dataset:
        """What a function makes of this dataset.

        Raises:
            TypeError: it gives something else than a dataset.
        """
        dataset = transformation_func(self)
        if not isinstance(dataset, Dataset):
            raise TypeError(
                "`transformation_func` must return a `tf.data.Dataset` object. Got "
                f"{type(dataset)}."
            )
        return dataset

    def enumerate(self, start: Any = 0, name: str | None = None) -> Dataset:
        """Pairs of a number, from `start` on, and an element."""
        return Dataset.zip((Dataset.range(start, np.iinfo(np.int64).max), self))

    def with_options(self, options: Any, name: str | None = None) -> Dataset:
        """The same elements: there is nothing to be tuned."""
        return self

    def options(self) -> Options:
        """The options: none."""
        return Options()

    # --- iterators ------------------------------------------------------------------------------

    def make_one_shot_iterator(self) -> Iterator:
        """An iterator that goes through once, and needs not be initialized.

        Raises:
            ValueError: the dataset depends on a placeholder, a variable or other state.
        """
        return one_shot_iterator(self._variant_tensor, self._spec)

    def make_initializable_iterator(self, shared_name: str | None = None) -> Iterator:
        """An iterator that goes to the start when its `initializer` is run."""
        return initializable_iterator(self._variant_tensor, self._spec, shared_name)


@export("data.Options")
class Options:
    """Options of datasets: all are accepted, and none changes what a dataset gives."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        value = Options()
        object.__setattr__(self, name, value)
        return value


def _as_shapes(structure: Any, shapes: Any) -> Any:
    """Shapes for components; one for all where there is one component."""
    return shapes if is_structure(structure) else to_shape(_unknown_as_none(shapes))


def _unknown_as_none(shape: Any) -> Any:
    if isinstance(shape, list | tuple):
        return [None if size == -1 else size for size in shape]
    return shape


def seeds_of(seed: int | None) -> list[Tensor]:
    """The two seeds of a dataset, for an own seed or None; zeros for none."""
    first, second = get_seed(seed)
    if first is None or second is None:
        first, second = 0, 0
    elif (first, second) == (0, 0):
        second = _LAST_SEED
    return [_int64(first, "seed"), _int64(second, "seed2")]


# --- functions that take a dataset or an iterator -------------------------------------------------


@export("data.make_one_shot_iterator")
def make_one_shot_iterator(dataset: Dataset) -> Iterator:
    """As the dataset's method."""
    return dataset.make_one_shot_iterator()


@export("data.make_initializable_iterator")
def make_initializable_iterator(dataset: Dataset, shared_name: str | None = None) -> Iterator:
    """As the dataset's method."""
    return dataset.make_initializable_iterator(shared_name)


@export("data.get_output_types")
def get_output_types(dataset_or_iterator: Any) -> Any:
    """The dtypes of an element's components, in their structure."""
    return dataset_or_iterator.output_types


@export("data.get_output_shapes")
def get_output_shapes(dataset_or_iterator: Any) -> Any:
    """The shapes of an element's components, in their structure."""
    return dataset_or_iterator.output_shapes


@export("data.get_output_classes")
def get_output_classes(dataset_or_iterator: Any) -> Any:
    """The classes of an element's components, in their structure."""
    return dataset_or_iterator.output_classes
