"""No gradient flows back through datasets and iterators."""

from __future__ import annotations

from tfsession.core.rules import no_gradient

for _name in (
    *("Tensor", "TensorSlice", "Range", "TextLine", "TFRecord", "FixedLengthRecord", "Generator"),
    *("Repeat", "Take", "Skip", "Shard", "Concatenate", "Zip", "Cache", "Prefetch", "Options"),
    *("Shuffle", "ShuffleAndRepeat", "Batch", "PaddedBatch", "Window", "Map", "ParallelMap"),
    *("Filter", "FlatMap", "Interleave", "ParallelInterleave", "MapAndBatch", "Unbatch"),
    *("Random", "Unique", "IgnoreErrors", "TakeWhile", "Scan", "GroupByWindow"),
    "DirectedInterleave",
):
    no_gradient(f"{_name}Dataset")
for _name in ("FixedLengthRecord", "Batch", "PaddedBatch", "ParallelMap", "ParallelInterleave"):
    no_gradient(f"{_name}DatasetV2")
no_gradient("ParallelInterleaveDatasetV3", "ParallelInterleaveDatasetV4")
no_gradient("CSVDataset", "CSVDatasetV2")
no_gradient("LegacyParallelInterleaveDatasetV2", "ReduceDataset", "DatasetToSingleElement")
no_gradient("Iterator", "IteratorV2", "OneShotIterator", "MakeIterator", "IteratorGetNext")
no_gradient("IteratorGetNextSync", "IteratorToStringHandle")
no_gradient("IteratorFromStringHandle", "IteratorFromStringHandleV2")
