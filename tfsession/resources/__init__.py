"""State that outlives a run: variables and what else a session owns, by container and name.

Imports core and devices. Kernels work on these objects; the session holds them in its SessionState.
"""
