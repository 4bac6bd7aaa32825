"""No gradient flows through readers."""

from tfsession.core.rules import no_gradient

for _version in ("", "V2"):
    for _kind in ("TextLine", "WholeFile", "FixedLengthRecord", "TFRecord", "Identity"):
        no_gradient(f"{_kind}Reader{_version}")
    for _action in (
        *("Read", "ReadUpTo", "NumRecordsProduced", "NumWorkUnitsCompleted"),
        *("SerializeState", "RestoreState", "Reset"),
    ):
        no_gradient(f"Reader{_action}{_version}")
