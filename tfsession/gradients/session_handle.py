"""No gradient flows through what a session keeps."""

from __future__ import annotations

from tfsession.core.rules import no_gradient

no_gradient("GetSessionHandle", "GetSessionHandleV2", "GetSessionTensor", "DeleteSessionTensor")
