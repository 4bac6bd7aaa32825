"""The command line: one module a command, loaded when it is called.

A command answers from what the machine tells, and imports neither NumPy nor the graph for it.
"""
