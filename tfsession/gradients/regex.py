"""No gradient flows through texts."""

from __future__ import annotations

from tfsession.core.rules import no_gradient

no_gradient("StaticRegexFullMatch")
