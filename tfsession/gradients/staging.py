"""No gradient flows through staging areas: what they give was computed in another step."""

from tfsession.core.rules import no_gradient

no_gradient("Stage", "Unstage", "StagePeek", "StageSize", "StageClear")
