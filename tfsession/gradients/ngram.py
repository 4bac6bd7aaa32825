"""No gradient flows back through texts."""

from tfsession.core.rules import no_gradient

no_gradient("StringNGrams")
