"""The formats of checkpoints: what stands in their files, byte by byte; no graph, no session.

`table` is the sorted string table that both formats use, `bundle_*` the second format (an index and
data files), `saved_slices` the first one (tables alone), `part_keys` how both spell the parts of
tensors, `safetensors` and `npz` files of others, `weights` what all writers take, `reader` whatever
a name stands for.

Imports core only: kernels and `tf.train` stand above. A file is untrusted: every length, offset and
count is checked against what is there before memory is taken, and checksums are verified.
"""
