"""No gradient flows back through texts."""

from tfsession.core.rules import no_gradient

no_gradient("StringJoin", "ReduceJoin", "UnsortedSegmentJoin", "Substr", "StringLength")
no_gradient("StringStrip", "StringLower", "StringUpper", "EncodeBase64", "DecodeBase64")
