"""The comparison of contribution concepts."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from cgm.contributions.base import Contribution
from cgm.contributions.least_core import LeastCore
from cgm.contributions.pointwise import Pointwise, pointwise_values
from cgm.contributions.semivalues import Banzhaf, BetaShapley, LeaveOneOut, Shapley
from cgm.valuation.kernels import SquaredExponential
from experiments.benchmark import peers
from experiments.benchmark.compare import Implementations, compare
from experiments.benchmark.problems import Estimated, mixture, single_points, small_game

CONCEPTS: dict[str, Contribution] = {
    "Shapley": Shapley(),
    "Banzhaf": Banzhaf(),
    "beta Shapley": BetaShapley(),
    "leave-one-out": LeaveOneOut(),
    "least core": LeastCore(),
    "pointwise": Pointwise(),
}
IN_SHAPIQ = {"Shapley": "SV", "Banzhaf": "BV", "least core": "ELC"}  # its names; it has neither of the others


def contributions(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Compare contribution concepts with each other and with shapiq, for games whose kernel sums are known."""

    sizes, seed = settings["sizes"], settings["seed"]

    def concepts(n: int) -> Implementations:
        valuation = small_game(n, seed)
        return {name: partial(concept.compute, valuation, 0) for name, concept in CONCEPTS.items()}

    def with_shapiq(name: str, n: int) -> Implementations:
        valuation = small_game(n, seed)
        return {
            "cgm": partial(CONCEPTS[name].compute, valuation, 0),
            "shapiq": partial(peers.shapiq_values, valuation, IN_SHAPIQ[name]),
        }

    def points(n: int) -> Implementations:
        """Points as players: shapiq needs the values of all sets of points."""

        valuation, game = single_points(n, seed)
        return {"cgm": partial(pointwise_values, valuation), "shapiq": partial(peers.shapiq_values, game)}

    def many_points(parties: int, points: int, synthetic: int) -> Implementations:
        valuation = Estimated(SquaredExponential(1.0), *mixture(parties, points, synthetic, 2, seed))
        return {"pointwise": partial(Pointwise().compute, valuation, 0)}

    n, few, (parties, size, synthetic) = sizes["concepts"], sizes["concepts_shapiq"], sizes["pointwise"]
    comparisons = [compare(f"n = {n}", "call", concepts(n), concepts(4), settings)]
    for name in IN_SHAPIQ:
        comparisons.append(
            compare(f"{name}, n = {few}", "call", with_shapiq(name, few), with_shapiq(name, 4), settings)
        )
    comparisons.append(compare(f"pointwise, {few} points", "call", points(few), points(4), settings))
    t = parties * size + synthetic
    name = f"pointwise, {parties * size:,} points, t = {t:,}"
    comparisons.append(compare(name, "call", many_points(parties, size, synthetic), many_points(2, 9, 20), settings))
    return {"comparisons": comparisons}
