"""No gradient flows through serialized Examples."""

from tfsession.core.rules import no_gradient

for _op_type in ("ParseExample", "ParseExampleV2", "ParseSingleExample"):
    no_gradient(_op_type)
