"""No gradient flows back through samples of classes."""

from tfsession.core.rules import no_gradient

no_gradient(
    "LogUniformCandidateSampler",
    "UniformCandidateSampler",
    "AllCandidateSampler",
    "ComputeAccidentalHits",
)
