"""No gradient flows through sparse tensors that are serialized, or kept from step to step."""

from tfsession.core.rules import no_gradient

no_gradient("SerializeSparse", "SerializeManySparse", "DeserializeSparse", "DeserializeManySparse")
no_gradient("AddSparseToTensorsMap", "AddManySparseToTensorsMap", "TakeManySparseFromTensorsMap")
