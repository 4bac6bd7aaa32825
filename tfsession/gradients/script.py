"""No gradient flows back through Python functions, unless `gradient_override_map` says how."""

from tfsession.core.rules import no_gradient

no_gradient("PyFunc", "PyFuncStateless")
