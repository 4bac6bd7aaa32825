"""The command line: one module a command.

A command answers from what the machine tells, and imports neither NumPy nor the graph for it: it is
to be done within 0.3 seconds.
"""
