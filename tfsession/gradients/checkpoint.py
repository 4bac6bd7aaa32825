"""No gradient flows through files."""

from __future__ import annotations

from tfsession.core.rules import no_gradient

no_gradient("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec")
no_gradient("Save", "SaveSlices", "Restore", "RestoreSlice")
