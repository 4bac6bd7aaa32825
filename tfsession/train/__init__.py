"""Training: optimizers, global step. Imports session, ops, gradients and below.

The façade loads these modules when a program first asks for a name that they declare.
"""
