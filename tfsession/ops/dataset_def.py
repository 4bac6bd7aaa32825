"""The operations of datasets and iterators; a dataset is a variant, an iterator a resource."""

from __future__ import annotations

from tfsession.core.op_def import define_op
from tfsession.core.shape import Shape
from tfsession.graph.operation import Operation

_ELEMENTS = ("output_types: list(type) >= 1", "output_shapes: list(shape) >= 1")
_METADATA = "metadata: string = ''"
_INPUT = "input_dataset: variant"
_CALL = (_INPUT, "other_arguments: Targuments")
_ARGUMENTS = "Targuments: list(type) >= 0"


def _scalar(op: Operation) -> list[Shape]:
    return [()]


def _elements(op: Operation) -> list[Shape]:
    return list(op.attrs["output_shapes"])


def _dataset(
    name: str,
    inputs: tuple[str, ...],
    attrs: tuple[str, ...] = (*_ELEMENTS, _METADATA),
    stateful: bool = False,
) -> None:
    define_op(f"{name}Dataset", inputs, ["handle: variant"], attrs, _scalar, stateful=stateful)


def _versions(name: str, version: str, *inputs: str, attrs: tuple[str, ...]) -> None:
    define_op(f"{name}Dataset{version}", inputs, ["handle: variant"], attrs, _scalar)


# --- from tensors and files -----------------------------------------------------------------------

_TYPES = ("Toutput_types: list(type) >= 1", "output_shapes: list(shape) >= 1")
_dataset("Tensor", ("components: Toutput_types",), (*_TYPES, _METADATA), stateful=True)
_dataset(
    "TensorSlice",
    ("components: Toutput_types",),
    (*_TYPES, "is_files: bool = false", _METADATA, "replicate_on_split: bool = false"),
    stateful=True,
)
_dataset(
    "Range",
    ("start: int64", "stop: int64", "step: int64"),
    (*_ELEMENTS, _METADATA, "replicate_on_split: bool = false"),
    stateful=True,
)
_FILES = ("filenames: string", "compression_type: string", "buffer_size: int64")
_dataset("TextLine", _FILES, (_METADATA,), stateful=True)
_dataset("TFRecord", _FILES, (_METADATA,), stateful=True)
_RECORDS = ("header_bytes: int64", "record_bytes: int64", "footer_bytes: int64")
for _version, _more in (("", ()), ("V2", ("compression_type: string",))):
    define_op(
        f"FixedLengthRecordDataset{_version}",
        ["filenames: string", *_RECORDS, "buffer_size: int64", *_more],
        ["handle: variant"],
        [_METADATA],
        _scalar,
        stateful=True,
    )
for _version, _more in (("", ()), ("V2", ("exclude_cols: int64",))):
    define_op(
        f"CSVDataset{_version}",
        [
            *("filenames: string", "compression_type: string", "buffer_size: int64"),
            *("header: bool", "field_delim: string", "use_quote_delim: bool", "na_value: string"),
            *("select_cols: int64", "record_defaults: output_types", *_more),
        ],
        ["handle: variant"],
        [
            "output_types: list({float, double, int32, int64, string}) >= 1",
            "output_shapes: list(shape) >= 1",
        ],
        _scalar,
        stateful=True,
    )
_KINDS = ("init", "next", "finalize")
_dataset(
    "Generator",
    tuple(f"{kind}_func_other_args: T{kind}_func_args" for kind in _KINDS),
    (
        *(f"{kind}_func: func" for kind in _KINDS),
        *(f"T{kind}_func_args: list(type) >= 0" for kind in _KINDS),
        *_ELEMENTS,
        _METADATA,
    ),
    stateful=True,
)

# --- of other datasets ----------------------------------------------------------------------------

_dataset("Repeat", (_INPUT, "count: int64"))
_dataset("Take", (_INPUT, "count: int64"))
_dataset("Skip", (_INPUT, "count: int64"))
_dataset(
    "Shard",
    (_INPUT, "num_shards: int64", "index: int64"),
    ("require_non_empty: bool = false", *_ELEMENTS, _METADATA),
)
_dataset("Concatenate", (_INPUT, "another_dataset: variant"))
_dataset("Zip", ("input_datasets: N * variant",), (*_ELEMENTS, "N: int >= 1", _METADATA))
_dataset("Cache", (_INPUT, "filename: string"))
_dataset(
    "Prefetch",
    (_INPUT, "buffer_size: int64"),
    (
        *_ELEMENTS,
        *("slack_period: int = 0", "legacy_autotune: bool = true", "buffer_size_min: int = 0"),
        _METADATA,
    ),
)
_dataset("Options", (_INPUT,), ("serialized_options: string", *_ELEMENTS, _METADATA))
_SHUFFLE = (_INPUT, "buffer_size: int64", "seed: int64", "seed2: int64")
_RESHUFFLE = "reshuffle_each_iteration: bool = true"
_dataset("Shuffle", _SHUFFLE, (_RESHUFFLE, *_ELEMENTS, _METADATA))
_dataset("ShuffleAndRepeat", (*_SHUFFLE, "count: int64"), (*_ELEMENTS, _RESHUFFLE, _METADATA))
_versions("Batch", "", _INPUT, "batch_size: int64", attrs=(*_ELEMENTS, _METADATA))
_versions(
    *("Batch", "V2", _INPUT, "batch_size: int64", "drop_remainder: bool"),
    attrs=("parallel_copy: bool = false", *_ELEMENTS, _METADATA),
)
_PADDED = (
    _INPUT,
    "batch_size: int64",
    "padded_shapes: N * int64",
    "padding_values: Toutput_types",
)
_versions("PaddedBatch", "", *_PADDED, attrs=(*_TYPES, "N: int >= 1", _METADATA))
_versions(
    *("PaddedBatch", "V2", *_PADDED, "drop_remainder: bool"),
    attrs=("parallel_copy: bool = false", *_TYPES, "N: int >= 1", _METADATA),
)
_dataset(
    "Window",
    (_INPUT, "size: int64", "shift: int64", "stride: int64", "drop_remainder: bool"),
)

_dataset("Unbatch", (_INPUT,))
_dataset("Unique", (_INPUT,), (*_ELEMENTS, _METADATA))
_dataset("Random", ("seed: int64", "seed2: int64"), (*_ELEMENTS, _METADATA), stateful=True)
_dataset("IgnoreErrors", (_INPUT,), (*_ELEMENTS, "log_warning: bool = false"))
_dataset(
    "DirectedInterleave",
    ("selector_input_dataset: variant", "data_input_datasets: N * variant"),
    (*_ELEMENTS, "N: int >= 1", "stop_on_empty_dataset: bool = false"),
)
define_op(
    "DatasetToSingleElement",
    ["dataset: variant"],
    ["components: output_types"],
    [*_ELEMENTS, _METADATA],
    _elements,
    stateful=True,
)

# --- by functions ---------------------------------------------------------------------------------

_OF_CALL = ("f: func", _ARGUMENTS, *_ELEMENTS)
_INTER_OP = "use_inter_op_parallelism: bool = true"
_CARDINALITY = "preserve_cardinality: bool = false"
_DETERMINISTIC = "deterministic: string = 'default'"
_versions(
    *("Map", "", *_CALL),
    attrs=(*_OF_CALL, _INTER_OP, _CARDINALITY, "force_synchronous: bool = false", _METADATA),
)
_versions(
    *("ParallelMap", "", *_CALL, "num_parallel_calls: int32"),
    attrs=(*_OF_CALL, _INTER_OP, "sloppy: bool = false", _CARDINALITY, _METADATA),
)
_versions(
    *("ParallelMap", "V2", *_CALL, "num_parallel_calls: int64"),
    attrs=(
        *(*_OF_CALL, _INTER_OP, _DETERMINISTIC, _CARDINALITY),
        *("use_unbounded_threadpool: bool = false", _METADATA),
    ),
)
_versions("Filter", "", *_CALL, attrs=("predicate: func", *_OF_CALL[1:], _METADATA))
_versions("FlatMap", "", *_CALL, attrs=(*_OF_CALL, _METADATA))
_CYCLE = ("cycle_length: int64", "block_length: int64")
_versions("Interleave", "", *_CALL, *_CYCLE, attrs=(*_OF_CALL, _METADATA))
_BUFFERS = ("buffer_output_elements: int64", "prefetch_input_elements: int64")
_CALLS = "num_parallel_calls: int64"
_versions(
    *("ParallelInterleave", "", *_CALL, *_CYCLE, "sloppy: bool", *_BUFFERS),
    attrs=(*_OF_CALL, _METADATA),
)
_versions(
    *("ParallelInterleave", "V2", *_CALL, *_CYCLE, _CALLS),
    attrs=(*_OF_CALL, "sloppy: bool = false", _METADATA),
)
_SURE = ("f: func", _DETERMINISTIC, _ARGUMENTS, *_ELEMENTS, _METADATA)
_versions("ParallelInterleave", "V3", *_CALL, *_CYCLE, _CALLS, attrs=_SURE)
_versions("ParallelInterleave", "V4", *_CALL, *_CYCLE, *_BUFFERS, _CALLS, attrs=_SURE)
_versions("LegacyParallelInterleave", "V2", *_CALL, *_CYCLE, *_BUFFERS, attrs=_SURE)
_versions(
    *("MapAndBatch", "", *_CALL, "batch_size: int64", _CALLS, "drop_remainder: bool"),
    attrs=(*_OF_CALL, _CARDINALITY, _METADATA),
)
define_op(
    "ReduceDataset",
    [_INPUT, "initial_state: Tstate", "other_arguments: Targuments"],
    ["components: output_types"],
    ["f: func", "Tstate: list(type) >= 1", _ARGUMENTS, *_ELEMENTS, _INTER_OP, _METADATA],
    _elements,
    stateful=True,
)

_versions("TakeWhile", "", *_CALL, attrs=("predicate: func", *_OF_CALL[1:], _METADATA))
_versions(
    *("Scan", "", _INPUT, "initial_state: Tstate", "other_arguments: Targuments"),
    attrs=(
        *("f: func", "Tstate: list(type) >= 1", _ARGUMENTS, *_ELEMENTS, _CARDINALITY),
        *("use_default_device: bool = true", _METADATA),
    ),
)
_GROUPING = ("key", "reduce", "window_size")
_dataset(
    "GroupByWindow",
    (_INPUT, *(f"{n}_func_other_arguments: T{n}_func_other_arguments" for n in _GROUPING)),
    (
        *(f"{n}_func: func" for n in _GROUPING),
        *(f"T{n}_func_other_arguments: list(type) >= 0" for n in _GROUPING),
        *(*_ELEMENTS, _METADATA),
    ),
)

# --- iterators ------------------------------------------------------------------------------------

for _name in ("Iterator", "IteratorV2"):
    define_op(
        _name,
        [],
        ["handle: resource"],
        ["shared_name: string", "container: string", *_ELEMENTS],
        _scalar,
        stateful=True,
    )
define_op(
    "OneShotIterator",
    [],
    ["handle: resource"],
    ["dataset_factory: func", *_ELEMENTS, "container: string = ''", "shared_name: string = ''"],
    _scalar,
    stateful=True,
)
define_op("MakeIterator", ["dataset: variant", "iterator: resource"], stateful=True)
for _name in ("IteratorGetNext", "IteratorGetNextSync"):
    define_op(
        _name,
        ["iterator: resource"],
        ["components: output_types"],
        list(_ELEMENTS),
        _elements,
        stateful=True,
    )
define_op(
    "IteratorToStringHandle",
    ["resource_handle: resource"],
    ["string_handle: string"],
    shape=_scalar,
    stateful=True,
)
for _name in ("IteratorFromStringHandle", "IteratorFromStringHandleV2"):
    define_op(
        _name,
        ["string_handle: string"],
        ["resource_handle: resource"],
        ["output_types: list(type) >= 0 = []", "output_shapes: list(shape) >= 0 = []"],
        _scalar,
        stateful=True,
    )
