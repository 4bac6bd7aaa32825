"""No gradient flows through serialized SequenceExamples."""

from tfsession.core.rules import no_gradient

no_gradient("ParseSequenceExampleV2")
