"""Nothing flows back through summaries."""

from tfsession.core.rules import no_gradient

no_gradient(
    "ScalarSummary",
    "HistogramSummary",
    "ImageSummary",
    "AudioSummaryV2",
    "MergeSummary",
    "TensorSummary",
    "TensorSummaryV2",
)
