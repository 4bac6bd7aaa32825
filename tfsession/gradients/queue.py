"""No gradient flows through queues: what comes out was computed in another step."""

from tfsession.core.rules import no_gradient

for _version in ("", "V2"):
    for _kind in ("FIFO", "RandomShuffle", "PaddingFIFO", "Priority"):
        no_gradient(f"{_kind}Queue{_version}")
    for _action in (
        *("Enqueue", "EnqueueMany", "Dequeue", "DequeueMany", "DequeueUpTo"),
        *("Close", "Size", "IsClosed"),
    ):
        no_gradient(f"Queue{_action}{_version}")
