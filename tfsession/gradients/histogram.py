"""Counts and places have no gradients."""

from __future__ import annotations

from tfsession.core.rules import no_gradient

no_gradient("Bincount", "LowerBound", "UpperBound")
