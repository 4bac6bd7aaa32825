"""Looking at runs: what `RunMetadata` tells, in forms for people. Imports session, ops and below.

`timeline` makes a trace for the viewers of Chrome and Perfetto out of step stats; `profile` sums up
what a graph takes and took, by name scope or op type. Nothing here is loaded until a program asks
for it, or for `tf.train`. The room is not called `trace`: that is a function, `tf.trace`.
"""
