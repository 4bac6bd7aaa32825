"""The command line: one module a command.

A command about the machine answers from what it tells, and imports neither NumPy nor the graph for
it: it is to be done within 0.3 seconds.
"""
