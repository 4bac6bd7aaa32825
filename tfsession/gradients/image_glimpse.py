"""No gradients flow through glimpses."""

from tfsession.core.rules import no_gradient

no_gradient("ExtractGlimpse")
