"""How gradients flow back from dense tensors to sparse ones."""

from tfsession.core.rules import gradient
from tfsession.ops.gather import gather_nd
from tfsession.ops.reduce import reduce_sum


@gradient("SparseToDense")
def _sparse_to_dense(op, grad):
    values = gather_nd(grad, op.inputs[0])
    return [None, None, values, reduce_sum(grad) - reduce_sum(values)]
