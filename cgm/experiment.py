r"""Runs the whole way, from parties' data to rewards and what they are worth, station by station."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import embedding, plots
from .cache import cached
from .checks import check_parties, check_whole
from .correlations import alpha_correlations, beta_correlations
from .data import CreditRatings, Dataset, DatasetLoader, EqualDisjoint, Split
from .downstream import SVM, Task
from .features import Automatic, Features
from .fitted import digest
from .generators import KDE, Generator
from .kernels import Kernel, SquaredExponential, resolve_lengthscale
from .memory import forget_peak, peak_memory
from .metrics import by_beta, measure
from .mmd import check_precision
from .pool import Pool, draw_pool
from .record import Record, plain, rewards_of, snake, versions
from .rewards import InfeasibleScheme, RewardScheme, Scheme, check_incentives
from .sampling import Chain, WeightedSampling
from .shapley import ShapleyMethod, ShapleyValues
from .valuation import Valuation, kernel_bounds

log = logging.getLogger(__name__)

FIT_FEATURES, FIT_GENERATOR, SAMPLE_POOL, PERMUTATIONS, EMBED = range(5)  # streams that a seed is split into
KERNEL_SEARCH = {"low": 0.01, "high": 1000.0, "iterations": 20}


@dataclass(frozen=True)
class Parties:
    r"""Holds the parties' data, reduced to the features that are valued.

    Attributes:
        x: The points $D_1, \dots, D_n$, each of shape $(N_i, d)$.
        y: Their classes, each of shape $(N_i)$: for judging, never for valuing.
        test: Held-out points, of shape $(M, d)$, and their classes.
        classes: The names of the classes.
    """

    x: list[Tensor]
    y: list[Tensor]
    test: tuple[Tensor, Tensor]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    r"""Turns parties' data into fair synthetic rewards and measures what they are worth.

    Arguments:
        dataset: Loads labelled real points.
        split: Deals them out to the parties.
        generator: Is fitted to the pooled data, and draws the synthetic pool $G$.
        features: Reduces points or images to the $d$ dimensions that are valued; `Automatic` picks by the data.
        kernel: The kernel $k$ of the valuation.
        kernel_search: The range in which a length-scale is looked for, see `fit_lengthscale`.
        shapley: How Shapley values are computed.
        scheme: How rewards are computed.
        sampling: How rewards are drawn.
        downstream: The task by which rewards are judged.
        precision: The arithmetic of the kernel's values on G x G, see `Valuation`.
        synthetic_size: The size of $G$; it grows if no rewards fit their bounds, see `RewardScheme`.
        seed: The seed of everything random.
        data_dir: The folder of data; the environment variable CGM_DATA or else `data`, if `None`.
        cache: A folder where features of images and pools of images are kept for the next run, or `False`. Each use
            of it is logged.
        device: Where the kernel's sums are computed, `"cpu"`, `"cuda"`, or `"auto"` for `"cuda"` if there is one.
        figures: Whether to draw figures.
        embedding_party: The party, from 1, whose rewards are drawn in the plane.

    Example:
        >>> experiment = Experiment(CreditRatings(), EqualDisjoint(), KDE(), synthetic_size=20_000)
        >>> record = experiment.run("outputs/by-hand")  # doctest: +SKIP
    """

    dataset: DatasetLoader = field(default_factory=CreditRatings)
    split: Split = field(default_factory=EqualDisjoint)
    generator: Generator = field(default_factory=KDE)
    features: Features | Automatic = field(default_factory=Automatic)
    kernel: Kernel = field(default_factory=lambda: SquaredExponential("fit"))
    kernel_search: Mapping[str, float] = field(default_factory=lambda: dict(KERNEL_SEARCH))
    shapley: ShapleyMethod = field(default_factory=ShapleyMethod)
    scheme: RewardScheme = field(default_factory=RewardScheme)
    sampling: WeightedSampling = field(default_factory=WeightedSampling)
    downstream: Task = field(default_factory=SVM)
    precision: str = "auto"
    synthetic_size: int = 10_000
    seed: int = 0
    data_dir: str | None = None
    cache: str | bool = False
    device: str = "cpu"
    figures: bool = True
    embedding_party: int = 1

    def __post_init__(self) -> None:
        """Refuses settings that are out of range."""

        check_precision(self.precision)
        check_whole("synthetic_size", self.synthetic_size, least=1)
        check_whole("seed", self.seed, least=0)
        check_whole("embedding_party", self.embedding_party, least=1)
        if self.cache is not False and not (isinstance(self.cache, str) and self.cache):
            raise ValueError(f"cache={self.cache!r}: expected the path of a folder, or false")
        unknown = set(self.kernel_search) - set(KERNEL_SEARCH)
        if unknown:
            raise ValueError(f"kernel_search: unknown options {sorted(unknown)}; there are {', '.join(KERNEL_SEARCH)}")
        low, high, iterations = (KERNEL_SEARCH | dict(self.kernel_search)).values()
        if not (isinstance(low, Real) and isinstance(high, Real) and 0 < low < high < math.inf):
            raise ValueError(f"kernel_search: low={low}, high={high}; needs numbers 0 < low < high")
        check_whole("kernel_search.iterations", iterations, least=1, most=50)
        try:
            if self._device.type not in ("cpu", "cuda"):
                raise RuntimeError("a device of another kind")
            torch.empty(0, dtype=torch.float64, device=self._device)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise ValueError(f"device={self.device}: not to be had on this machine ({error}); use 'cpu'") from error

    def run(self, output_dir: str | Path) -> Record:
        """Runs the stations in order and writes what they give to a folder.

        Arguments:
            output_dir: The folder, made if there is none: `result.json`, `metrics.csv`, `rewards.npz`, figures.

        Returns:
            The record, as it was written.

        Raises:
            ValueError: If a setting or the data is bad; before any long work, where that can be known.
            InfeasibleScheme: If no rewards fit their bounds, however large G.
        """

        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)  # an earlier run's, which is no longer whole from here on
        clock = Clock()
        forget_peak()

        with clock("data"):
            dataset = self.dataset.load(self.data_dir, self.seed)
            log.info("dataset %s: %d points, %d held out", dataset.name, len(dataset.x), len(dataset.x_test))
            rows = self.split.deal(dataset.y, len(dataset.classes), self.seed, dataset.ordered, dataset.classes)
            if self.embedding_party > len(rows):
                raise ValueError(f"embedding_party={self.embedding_party}: there are {len(rows)} parties")
            makes_images = self.generator.space == "data" and dataset.x.dim() == 4
            classifier = self.downstream.classifier(dataset.name, dataset.x.shape[1:] if makes_images else None)
        with clock("features"):
            features = self.features.pick(dataset.x) if isinstance(self.features, Automatic) else self.features
            parties = self._reduce(features, dataset, rows)
        with clock("generator"):
            pooled = torch.cat(parties.x if self.generator.space == "features" else [dataset.x[r] for r in rows])
            self.generator.fit(pooled, self._seed(FIT_GENERATOR))
        name = dataset.name
        del dataset, pooled  # 0.7 GB of CIFAR-10's images, which nothing needs any more

        def draw(size: int) -> Pool:
            width = parties.x[0].shape[1]
            return draw_pool(
                self.generator, features, size, self._seed(SAMPLE_POOL), width, classifier, self.cache or None
            )

        pool, valuation, shapley, scheme, lower, warnings = self._value(parties, draw, clock)
        incentives = check_incentives(scheme, shapley, valuation, lower)
        with clock("sampling"):
            chains = self.sampling.draw(valuation, scheme.rewards, self.seed)
            for chain in chains:
                if not chain.reached:
                    warnings.append(
                        f"party {chain.party + 1}, β={chain.beta:g}: stopped at v = {chain.value:.6g} after "
                        f"{len(chain.indices)} points, before it reached r_i = {chain.target:.6g}"
                    )
                    log.warning(warnings[-1])

        with clock("labels"):
            labels = pool.labels
            if labels is None:
                labels = self.downstream.label(torch.cat(parties.x), torch.cat(parties.y), pool.points)
        with clock("metrics"):
            table, missing = measure(valuation, chains, parties.y, labels, len(parties.classes))
        with clock("downstream"):
            accuracies = self._judge(pool, chains, parties, labels, table, missing)
        betas, by_metric = self.sampling.betas, by_beta(table, self.sampling.betas, valuation.n)
        with_alpha = alpha_correlations(shapley.alpha, betas, by_metric)
        with_beta = beta_correlations(betas, {name: by_metric[name] for name in ("size", "neg_mmd2_unbiased")})

        for metric, entry in with_alpha.items():  # the reason itself, rather than that values are missing
            why = {m["reason"] for m in missing if m["metric"] == metric}
            if entry["mean"] is None and len(why) == 1:
                entry["reasons"] = sorted(why)

        bounds = kernel_bounds(valuation)
        result = {
            "dataset": name,
            "split": snake(type(self.split).__name__),
            "generator": snake(type(self.generator).__name__),
            "features": snake(type(features).__name__),
            "labeller": "knn" if classifier is None else "cnn",
            "seed": self.seed,
            "n_parties": valuation.n,
            "classes": parties.classes,
            "points_per_party": valuation.sizes[:-1],
            "dimensions": valuation.points.shape[1],
            "t": valuation.t,
            "synthetic_size": valuation.sizes[-1],
            "kernel": {
                "name": snake(valuation.kernel.name),
                "lengthscale": valuation.kernel.lengthscale,
                **bounds._asdict(),
            },
            "values": {
                "party": valuation.party_values,
                "grand": valuation.grand_value,
                "lower": lower,
                "upper": valuation.with_synthetic,
            },
            "shapley": shapley,
            "scheme": scheme,
            "incentives": incentives,
            "sampling": [
                {
                    "party": c.party,
                    "beta": c.beta,
                    "size": len(c.indices),
                    "target": c.target,
                    "start": c.start,
                    "value": c.value,
                    "reached": c.reached,
                    "increasing": c.increasing,
                }
                for c in chains
            ],
            "correlations": with_alpha,
            "beta_correlations": with_beta,
            "downstream": accuracies,
            "missing": missing,
            "warnings": warnings,
        }
        spread = float(scheme.rewards.max() - scheme.rewards.min())
        result["scheme"] = plain(scheme) | {"stable": self.scheme.stable, "spread": spread}

        if self.figures:
            with clock("figures"):
                self._draw(folder, plain(result), pool, chains, parties, labels)
        spent = {"seconds": clock.seconds, "memory": {"peak_mib": peak_memory()}}
        result |= {"settings": self, **spent, "versions": versions()}
        record = Record(plain(result), table, rewards_of(chains), pool.points)
        record.save(folder)

        return record

    @property
    def _device(self) -> torch.device:
        return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device)

    def _seed(self, stream: int) -> int:
        """Makes a seed for one use of the experiment's seed."""

        return int(np.random.SeedSequence(self.seed, spawn_key=(stream,)).generate_state(1)[0])

    def _reduce(self, features: Features, dataset: Dataset, rows: Sequence[Tensor]) -> Parties:
        """Reduces the parties' points and the held-out points to features, fitted to the pooled data."""

        features.fit(dataset.x[torch.cat(list(rows))], self._seed(FIT_FEATURES))
        parts = [*(dataset.x[r] for r in rows), dataset.x_test]

        def transform() -> dict[str, Tensor]:
            return {"points": torch.cat([features.transform(x) for x in parts])}

        cache, key = None, {"features": features.fingerprint()}
        if self.cache and dataset.x.dim() == 4 and key["features"] is not None:
            cache, key["images"] = self.cache, [digest({"x": x}) for x in parts]
        points = cached(cache, "features", key, transform)["points"]
        *x, test = points.split([len(part) for part in parts])
        check_parties(x, x[0])

        return Parties(x=x, y=[dataset.y[r] for r in rows], test=(test, dataset.y_test), classes=dataset.classes)

    def _value(
        self, parties: Parties, draw: Callable[[int], Pool], clock: Clock
    ) -> tuple[Pool, Valuation, ShapleyValues, Scheme, Tensor, list[str]]:
        """Values the parties' data and computes their rewards; G grows while no rewards fit (Sec. 4.1)."""

        warnings: list[str] = []
        sizes = self.scheme.sizes(self.synthetic_size)
        for size in sizes:
            with clock("pool"):
                pool = draw(size)
            x = [points.to(self._device) for points in (*parties.x, pool.points)]
            with clock("lengthscale"):
                kernel = resolve_lengthscale(self.kernel, x[:-1], x[-1], **self.kernel_search)
            with clock("valuation"):
                valuation = Valuation(kernel, x[:-1], x[-1], self.precision)
                log.info(
                    "length-scale %.6g, v(N) = %.6g, t = %d", kernel.lengthscale, valuation.grand_value, valuation.t
                )
            with clock("shapley"):
                shapley = self.shapley.compute(valuation, self._seed(PERMUTATIONS))
            try:
                with clock("scheme"):
                    scheme, lower = self.scheme.solve(shapley, valuation)
                break
            except InfeasibleScheme as error:
                if size == sizes[-1]:
                    raise InfeasibleScheme(
                        f"{error} (tried up to synthetic_size={size}, scheme.most_growth={self.scheme.most_growth:g})"
                    ) from error
                warnings.append(f"{error}; G grows from {size} points")
                log.warning(warnings[-1])

        error, aim = float(shapley.stderr.max()), self.shapley.tolerance * float(shapley.phi.abs().max())
        if shapley.permutations and error > aim:
            warnings.append(
                f"Shapley values: after shapley.most_permutations={shapley.permutations} the greatest standard error "
                f"is {error:.3g}, above {aim:.3g} (shapley.tolerance={self.shapley.tolerance:g})"
            )
            log.warning(warnings[-1])
        for i in scheme.left_out:
            warnings.append(
                f"party {i + 1} has the Shapley value {float(shapley.phi[i]):.3g}, not positive: it is left out of "
                "the linear program and keeps r_i = v(D_i)"
            )
            log.warning(warnings[-1])
        log.info("α = %s, v* = %.6g, ρ = %.4g", [round(float(a), 4) for a in shapley.alpha], scheme.v_star, scheme.rho)
        return pool, valuation, shapley, scheme, lower, warnings

    def _judge(
        self,
        pool: Pool,
        chains: Sequence[Chain],
        parties: Parties,
        labels: Tensor,
        table: list[tuple[int, float, str, float | None]],
        missing: list[dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """Runs the downstream task, and adds its accuracies to the table."""

        rewards = [(c.party, c.beta, pool.points[c.indices], labels[c.indices]) for c in chains]
        accuracies = self.downstream.evaluate(list(zip(parties.x, parties.y, strict=True)), rewards, parties.test)
        for entry in accuracies:
            for name in ("accuracy", "accuracy_before"):
                table.append((entry["party"], entry["beta"], name, entry[name]))
                if entry[name] is None:
                    missing.append(
                        {"party": entry["party"], "beta": entry["beta"], "metric": name, "reason": entry["reason"]}
                    )
        return accuracies

    def _draw(
        self,
        folder: Path,
        result: dict[str, Any],
        pool: Pool,
        chains: Sequence[Chain],
        parties: Parties,
        labels: Tensor,
    ) -> None:
        """Draws the figures into the run's folder."""

        party = self.embedding_party - 1
        mine = [c for c in chains if c.party == party]
        rewards = {c.beta: (pool.points[c.indices], labels[c.indices]) for c in mine}
        kept = {c.beta: torch.nonzero(c.indices < len(pool.images))[:, 0] for c in mine}
        images = {c.beta: (kept[c.beta], pool.images[c.indices[kept[c.beta]]]) for c in mine if len(kept[c.beta])}
        figures = {
            "reward_sizes": plots.reward_sizes(result),
            "reward_values": plots.reward_values(result),
            "value_curves": plots.value_curves(chains, result),
            "correlations": plots.correlations(result),
            f"rewards_of_party_{party + 1}": embedding.reward_embedding(
                parties.x[party],
                parties.y[party],
                rewards,
                parties.classes,
                background=torch.cat([*parties.x, pool.points]),
                seed=self._seed(EMBED),
                party=party,
                images=images,
            ),
        }
        for name, figure in figures.items():
            plots.save(figure, folder, name)


class Clock:
    """Measures the seconds that each station takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, station: str) -> Iterator[None]:
        """Adds the seconds that the block takes to a station's."""

        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[station] = self.seconds.get(station, 0.0) + time.perf_counter() - begin
