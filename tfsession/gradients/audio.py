"""No gradient flows back through files and spectra of sounds."""

from tfsession.core.rules import no_gradient

no_gradient("DecodeWav", "EncodeWav", "AudioSpectrogram", "Mfcc")
