"""Sequences have no gradients."""

from tfsession.core.rules import no_gradient

no_gradient("Range", "LinSpace", "OneHot")
