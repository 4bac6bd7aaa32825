"""No gradient flows back through training operations."""

from tfsession.core.rules import no_gradient

for _name in ("ApplyGradientDescent", "ApplyMomentum", "SparseApplyMomentum", "ApplyAdam"):
    no_gradient(_name, f"Resource{_name}")
