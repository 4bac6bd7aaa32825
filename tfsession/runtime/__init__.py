"""From fetches to numbers, in the order data flows.

Fetches, feeds, prune, place, rewrite, partition, plan, execute.

Imports core, graph, devices and resources; it finds kernels through the registry of core.rules and
never imports one.
"""
