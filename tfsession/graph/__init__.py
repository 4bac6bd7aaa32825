"""The graph: operations, tensors, names, scopes, and how an op is created.

Imports core only; no op is known here. Ops install themselves: `ops/elementwise.py` gives Tensor
its operators, `ops/constant.py` the rule that turns Python values into tensors.
"""
