"""No gradient flows back through random draws."""

from tfsession.core.rules import no_gradient

no_gradient(
    "Multinomial",
    "RandomShuffle",
    "RandomStandardNormal",
    "RandomUniform",
    "RandomUniformInt",
    "TruncatedNormal",
)
