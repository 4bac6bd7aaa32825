"""No gradient flows through files."""

from tfsession.core.rules import no_gradient

no_gradient("GenerateVocabRemapping", "LoadAndRemapMatrix")
