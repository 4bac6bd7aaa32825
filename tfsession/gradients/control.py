"""No gradient flows back through checks."""

from tfsession.core.rules import no_gradient

no_gradient("Assert")
