"""Updates of many variables at once: the same kernels as one by one, but one launch for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tfsession.core.rules import fuser
from tfsession.devices.program import Call
from tfsession.kernels.cuda.update import Noted, updated_together
from tfsession.kernels.train import update_by_steps
from tfsession.resources.variable import Variable, locks_of


@fuser("updates")
class Updates:
    """Updates of several variables; called with what all of them take it gives their results."""

    def __init__(self, xp: Any, group: Sequence[Call], given: int, results: Sequence[int]) -> None:
        self._xp = xp
        # Who calls holds the locks of all variables.
        self._noted = Noted()
        self._calls = [(call.bind(self._noted), call.arguments) for call in group]
        self._results = results
        self._given = given

    def __call__(self, *values: Any) -> Any:
        """None where something is wrong: one after another they tell what it is."""
        variables = [value for value in values if isinstance(value, Variable)]
        return self._locked(locks_of(*variables), values)

    def _locked(self, locks: Sequence[Any], values: Sequence[Any]) -> Any:
        if locks:
            with locks[0]:
                return self._locked(locks[1:], values)
        updates = self._noted.updates
        updates.clear()
        try:
            made = [call(*[values[n] for n in arguments]) for call, arguments in self._calls]
        except Exception:
            return None
        for number in updated_together(self._xp, updates):
            update_by_steps(self._xp, *updates[number])
        updates.clear()
        results = [made[number] for number in self._results]
        return results[0] if len(results) == 1 else results
