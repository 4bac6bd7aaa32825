"""Counts and places have no gradients."""

from __future__ import annotations

from tfsession.core.rules import no_gradient

no_gradient("Bincount", "DenseBincount", "RaggedBincount", "SparseBincount")
no_gradient("Bucketize", "LowerBound", "UpperBound")
