"""No gradients flow through files."""

from tfsession.core.rules import no_gradient

no_gradient(
    "DecodeJpeg",
    "DecodeAndCropJpeg",
    "DecodePng",
    "DecodeGif",
    "DecodeBmp",
    "DecodeImage",
    "EncodePng",
    "EncodeJpeg",
    "EncodeJpegVariableQuality",
    "ExtractJpegShape",
)
