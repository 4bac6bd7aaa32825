"""What ops reach outside of a session: files, and functions of Python.

An op that is given no text names nothing: whatever it computes stays in the session. Each op that
is given one stands in one of the tables here, and a test fails on one that does not. Functions of a
graph are no reach of the op that calls them: the ops in their bodies are looked at one by one.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from tfsession.core.dtypes import string
from tfsession.core.op_def import OpDef

__all__ = ["HARMLESS", "REACHING", "Reach", "is_given_text", "reach_of"]


class Reach(NamedTuple):
    """What an op does outside, and the inputs that name what it does that to."""

    does: str
    names: tuple[str, ...] = ()
    is_checkpoint: bool = False


_READS: Final = "reads files"
_CALLS: Final = "calls functions of Python"
_FILE_DATASET: Final = Reach(_READS, ("filenames",))
_FILE_TABLE: Final = Reach(_READS, ("filename",))
_READS_CHECKPOINT: Final = "reads checkpoints"
_WRITES_CHECKPOINT: Final = "writes checkpoints"

REACHING: Final[dict[str, Reach]] = {
    "ReadFile": Reach(_READS, ("filename",)),
    "WriteFile": Reach("writes files", ("filename",)),
    "CacheDataset": Reach("writes and reads files, unless it is given no name", ("filename",)),
    "MatchingFiles": Reach("lists files", ("pattern",)),
    "RecordInput": Reach(_READS),
    # What a reader reads comes out of a queue.
    **dict.fromkeys(
        (
            *("TextLineReader", "TextLineReaderV2", "WholeFileReader", "WholeFileReaderV2"),
            *("TFRecordReader", "TFRecordReaderV2"),
            *("FixedLengthRecordReader", "FixedLengthRecordReaderV2"),
        ),
        Reach(_READS),
    ),
    **dict.fromkeys(
        (
            *("TextLineDataset", "TFRecordDataset", "CSVDataset", "CSVDatasetV2"),
            *("FixedLengthRecordDataset", "FixedLengthRecordDatasetV2"),
        ),
        _FILE_DATASET,
    ),
    "InitializeTableFromTextFile": _FILE_TABLE,
    "InitializeTableFromTextFileV2": _FILE_TABLE,
    "SaveV2": Reach(_WRITES_CHECKPOINT, ("prefix",), True),
    "Save": Reach(_WRITES_CHECKPOINT, ("filename",), True),
    "SaveSlices": Reach(_WRITES_CHECKPOINT, ("filename",), True),
    "MergeV2Checkpoints": Reach(
        _WRITES_CHECKPOINT, ("checkpoint_prefixes", "destination_prefix"), True
    ),
    "RestoreV2": Reach(_READS_CHECKPOINT, ("prefix",), True),
    "Restore": Reach(_READS_CHECKPOINT, ("file_pattern",), True),
    "RestoreSlice": Reach(_READS_CHECKPOINT, ("file_pattern",), True),
    "GenerateVocabRemapping": Reach(_READS, ("new_vocab_file", "old_vocab_file")),
    "LoadAndRemapMatrix": Reach(_READS_CHECKPOINT, ("ckpt_path",), True),
    "PyFunc": Reach(_CALLS),
    "PyFuncStateless": Reach(_CALLS),
    "EagerPyFunc": Reach(_CALLS),
    "PrintV2": Reach("writes files"),
}
_UNKNOWN: Final = Reach("is given texts, and nobody has said what it does with them")

_HARMLESS: Final = """
    AccumulatorApplyGradient AccumulatorNumAccumulated AccumulatorSetGlobalStep
    AccumulatorTakeGradient AsString AudioSummaryV2 CheckNumerics CheckNumericsV2
    DecodeAndCropJpeg DecodeBase64 DecodeBmp DecodeCSV DecodeCompressed DecodeGif DecodeImage
    DecodeJpeg DecodePaddedRaw DecodePng DecodeRaw DecodeWav DeleteSessionTensor
    DeserializeManySparse DeserializeSparse DestroyTemporaryVariable Einsum EncodeBase64
    EncodeJpeg Enter ExtractGlimpse ExtractJpegShape GetSessionTensor HistogramSummary ImageSummary
    InitializeTable
    IteratorFromStringHandle IteratorFromStringHandleV2 LookupTableExport LookupTableFind
    LookupTableImport LookupTableInsert LookupTableSize MergeSummary OptionsDataset ParseExample
    ParseExampleV2 ParseSequenceExampleV2 ParseSingleExample ParseTensor PartitionedCall
    PreventGradient Print QueueClose QueueDequeue QueueDequeueMany QueueDequeueUpTo QueueEnqueue
    QueueEnqueueMany QueueIsClosed QueueSize RaggedTensorToTensor ReaderNumRecordsProduced
    ReaderNumWorkUnitsCompleted ReaderRead ReaderReadUpTo ReaderReset ReaderRestoreState
    ReaderRestoreStateV2 ReaderSerializeState ReduceJoin RefEnter RegexFullMatch RegexReplace
    ScalarSummary ShardedFilename ShardedFilespec SparseAccumulatorApplyGradient
    SparseAccumulatorTakeGradient StackV2 StatefulPartitionedCall StaticRegexFullMatch
    StaticRegexReplace StringFormat StringJoin StringLength StringLower StringNGrams StringSplit
    StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
    StringToNumber StringUpper Substr TemporaryVariable TensorArrayGradV3 TensorArrayV3
    TensorSummary TensorSummaryV2 UnicodeDecode UnicodeDecodeWithOffsets UnicodeTranscode
    UnsortedSegmentJoin VarHandleOp
"""
HARMLESS: Final = frozenset(_HARMLESS.split())
# Attributes that say how, or under which name within the session.
_LABELS: Final = frozenset(
    ("bad_indices_policy", "container", "deterministic", "metadata", "shared_name")
)
_TEXTS: Final = frozenset(("string", "list(string)"))


def is_given_text(op_def: OpDef) -> bool:
    """Whether an op is given texts that may name something, as inputs or as attributes."""
    return any(arg.type is string for arg in op_def.inputs) or any(
        attr.type in _TEXTS and attr.allowed is None and attr.name not in _LABELS
        for attr in op_def.attrs.values()
    )


def reach_of(op_def: OpDef, attrs: dict[str, Any]) -> Reach | None:
    """What an operation does outside of its session; None when it does nothing there."""
    name = op_def.name
    found = REACHING.get(name)
    if found is None:
        return None if name in HARMLESS or not is_given_text(op_def) else _UNKNOWN
    if name == "PrintV2" and not attrs["output_stream"].startswith(b"file:"):
        return None
    return found
