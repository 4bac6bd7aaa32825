"""No gradient flows through files."""

from tfsession.core.rules import no_gradient

for _op_type in ("ReadFile", "WriteFile", "MatchingFiles"):
    no_gradient(_op_type)
