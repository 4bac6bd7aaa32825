"""From fetches to numbers, in the order data flows: fetches, feeds, prune, place, partition, plan,
execute.

Imports core, graph, devices and resources; it finds kernels through the registry of core.rules and
never imports one.
"""
