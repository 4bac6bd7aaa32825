"""No gradient flows through strings."""

from tfsession.core.rules import no_gradient

for _op_type in (
    *("DecodeRaw", "DecodePaddedRaw", "DecodeCSV", "DecodeCompressed"),
    *("ParseTensor", "SerializeTensor"),
):
    no_gradient(_op_type)
