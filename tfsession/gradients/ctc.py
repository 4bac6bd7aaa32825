"""The gradient of CTC losses, which the op has computed already."""

from __future__ import annotations

from typing import Any

from tfsession.core.rules import gradient, no_gradient
from tfsession.graph.operation import Operation


@gradient("CTCLoss")
def _loss(op: Operation, grad: Any, _: Any) -> Any:
    return op.outputs[1] * grad[:, None], None, None, None


no_gradient("CTCGreedyDecoder", "CTCBeamSearchDecoder")
