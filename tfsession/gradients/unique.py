"""No gradient flows back through the choice of distinct elements."""

from tfsession.core.rules import no_gradient

no_gradient("Unique", "UniqueWithCounts", "ListDiff")
