"""Scores of the usual task, for tests."""

from cgm.evaluation.entries import Scores


def accuracies(
    party: int, beta: float, accuracy: float | None, accuracy_before: float | None, reason: str | None
) -> Scores:
    """Return the entry of a reward whose only score is the accuracy."""

    return Scores(party, beta, {"accuracy": accuracy}, {"accuracy": accuracy_before}, reason)
