"""What sessions have recorded of their steps, for the tests of recordings."""

from tfsession.runtime.captured import CapturedComputation


def recordings(session):
    """What the segments of a session's plans have recorded."""
    segments = [s for plan in session._engine._plans.values() for s in plan.segments]
    return [s.recordings for s in segments if isinstance(s, CapturedComputation)]


def refusals(session):
    """Why segments were not recorded."""
    return [reason for found in recordings(session) for reason in found.reasons]
