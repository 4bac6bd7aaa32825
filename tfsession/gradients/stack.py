"""Stacks have no gradients: they are a part of gradients."""

from tfsession.core.rules import no_gradient

no_gradient("StackV2", "StackPushV2", "StackPopV2", "StackCloseV2")
