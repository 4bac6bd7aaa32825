"""No gradient flows through what is read from files."""

from tfsession.core.rules import no_gradient

no_gradient("RecordInput")
