"""No gradient flows back through training operations."""

from tfsession.core.rules import no_gradient

_DENSE = ("GradientDescent", "Adam")
_BOTH = (
    *("Momentum", "RMSProp", "CenteredRMSProp", "Adagrad", "AdagradV2", "AdagradDA", "Adadelta"),
    *("Ftrl", "FtrlV2", "ProximalGradientDescent", "ProximalAdagrad"),
)
for _kind, _names in (("", _DENSE + _BOTH), ("Sparse", _BOTH)):
    for _name in _names:
        no_gradient(f"{_kind}Apply{_name}", f"Resource{_kind}Apply{_name}")
