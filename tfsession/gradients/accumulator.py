"""No gradient flows through accumulators: what they give was computed in other steps."""

from tfsession.core.rules import no_gradient

for _version in ("", "Resource"):
    no_gradient(f"{_version}ConditionalAccumulator")
    for _action in ("NumAccumulated", "SetGlobalStep", "ApplyGradient", "TakeGradient"):
        no_gradient(f"{_version}Accumulator{_action}")
no_gradient(
    "SparseConditionalAccumulator",
    "SparseAccumulatorApplyGradient",
    "SparseAccumulatorTakeGradient",
)
