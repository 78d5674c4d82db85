r"""Experiments: dataset, split, mediator, evaluation, record."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from cgm.data.datasets.base import DatasetLoader
from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.features.base import transform_parts
from cgm.data.splits.base import Split
from cgm.data.splits.equal_disjoint import EqualDisjoint
from cgm.evaluation.arrays import Labelled
from cgm.evaluation.evaluate import Evaluation, evaluate
from cgm.evaluation.labellers.auto import AutoLabeller
from cgm.evaluation.labellers.base import Labeller
from cgm.evaluation.labellers.knn import KNN
from cgm.evaluation.tasks.base import Task
from cgm.evaluation.tasks.svm import SVM
from cgm.mediator import EMBED, Mediator, Settlement
from cgm.records import result as records
from cgm.records.figures.run import draw_run
from cgm.records.plain import plain, snake, versions
from cgm.records.record import Record
from cgm.utils.checks import check_bool, check_instance, check_integer
from cgm.utils.clock import Clock
from cgm.utils.memory import peak_memory, reset_peak
from cgm.utils.seeds import stream_seed
from cgm.valuation.bounds import kernel_bounds

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labels:
    r"""What an experiment knows beside the parties' points, for evaluation only.

    Attributes:
        dataset: The name of the dataset.
        names: The names of the classes.
        parties: The classes of the parties' points, each of shape $(N_i)$.
        test: Held-out points, of shape $(M, D)$ or $(M, C, H, W)$, and their classes.
        image: The shape $(C, H, W)$ of the images; `None` if the data is points.
    """

    dataset: str
    names: tuple[str, ...]
    parties: list[Tensor]
    test: Labelled
    image: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Experiment(Mediator):
    r"""Splits labelled data among parties, computes their rewards, and measures what these are worth.

    It is a `Mediator`, whose settings it shares, with a dataset before it and an evaluation after it.

    Arguments:
        dataset: Loads labelled real points.
        split: Assigns them to the parties.
        labeller: Labels synthetic points, for evaluation.
        downstream: The task by which rewards are evaluated.
        seed: The seed of everything random.
        data_dir: The folder of data; the environment variable CGM_DATA or else `data`, if `None`.
        figures: Whether to draw figures.
        embedding_party: The party, from 1, whose rewards are drawn in the plane.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> experiment = Experiment(dataset=CreditRatings(), split=EqualDisjoint(), synthetic_size=20_000)
        >>> record = experiment.run("outputs/by-hand")  # doctest: +SKIP
    """

    dataset: DatasetLoader = field(default_factory=CreditRatings)
    split: Split = field(default_factory=EqualDisjoint)
    labeller: Labeller = field(default_factory=AutoLabeller)
    downstream: Task = field(default_factory=SVM)
    seed: int = 0
    data_dir: str | None = None
    figures: bool = True
    embedding_party: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(getattr(self.dataset, "load", None)):
            raise ValueError(f"dataset: expected an object with a method load, got {type(self.dataset).__name__}")
        check_instance("split", self.split, Split)
        check_instance("labeller", self.labeller, Labeller)
        check_instance("downstream", self.downstream, Task)
        if self.data_dir is not None:
            check_instance("data_dir", self.data_dir, str)
        check_bool("figures", self.figures)
        check_integer("seed", self.seed, min=0)
        check_integer("embedding_party", self.embedding_party, min=1)

    def run(self, output_dir: str | Path) -> Record:
        """Run the experiment and write its record to a folder.

        Arguments:
            output_dir: The folder, created if necessary: `result.json`, `metrics.csv`, `rewards.npz`, figures.

        Returns:
            The record, as it was written.

        Raises:
            ValueError: If a setting or the data is invalid; before any long work, where possible.
            InfeasibleScheme: If no rewards fit their bounds, however large G.
        """

        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)  # of an earlier run: its other files are about to change
        clock = Clock()
        reset_peak()

        with clock("data"):
            parties, known = self._load()
            makes_images = self.generator.space == "data" and known.image is not None
            classifier = self.labeller.classifier(known.dataset, known.image if makes_images else None)

        # handed over, not kept: the mediator frees them, up to a gigabyte of images, as soon as possible
        settlement = self.settle([parties.pop(0) for _ in known.parties], self.seed, classifier)
        clock.seconds |= settlement.seconds

        with clock("features"):
            (points,) = transform_parts(settlement.features, [known.test[0]], self.cache or None)
        with clock("labels"):
            labels = settlement.pool.labels
            if labels is None:
                x, y = torch.cat(settlement.parties), torch.cat(known.parties)
                labels = self.labeller.label(x, y, settlement.pool.points)
        evaluation = evaluate(
            settlement, known.parties, labels, len(known.names), self.downstream, (points, known.test[1]), clock
        )

        labeller = "none" if labels is None else "cnn" if classifier is not None else "knn"
        if labeller == "knn" and not isinstance(self.labeller, KNN):
            labeller = snake(type(self.labeller).__name__)
        result = self._result(settlement, evaluation, known, labeller)
        if self.figures:
            party, seed = self.embedding_party - 1, stream_seed(self.seed, EMBED)
            with clock("figures"):
                draw_run(folder, result, settlement, known.parties, labels, party, seed)
        result = replace(result, seconds=clock.seconds, memory=records.Memory(peak_memory()))
        rewards = {(chain.party, chain.beta): chain.indices for chain in settlement.chains}
        record = Record(result, evaluation.metrics, rewards, settlement.pool.points)
        record.save(folder)

        return record

    def _load(self) -> tuple[list[Tensor], Labels]:
        """Load the dataset and split it into the parties' points and what is known of them."""

        dataset = self.dataset.load(self.data_dir, self.seed)
        log.info("dataset %s: %d points, %d held out", dataset.name, len(dataset.x), len(dataset.x_test))
        rows = self.split.assign(dataset.y, len(dataset.classes), self.seed, dataset.ordered, dataset.classes)
        if self.embedding_party > len(rows):
            raise ValueError(f"embedding_party={self.embedding_party}: there are {len(rows)} parties")
        labels = Labels(
            dataset=dataset.name,
            names=dataset.classes,
            parties=[dataset.y[r] for r in rows],
            test=(dataset.x_test, dataset.y_test),
            image=tuple(dataset.x.shape[1:]) if dataset.x.dim() == 4 else None,
        )

        return [dataset.x[r] for r in rows], labels

    def _result(self, settlement: Settlement, evaluation: Evaluation, known: Labels, labeller: str) -> records.Result:
        """Collect what `result.json` holds."""

        game, contributions, rewards = settlement.game, settlement.contributions, settlement.rewards
        bounds = kernel_bounds(game)
        return records.Result(
            schema=records.SCHEMA,
            dataset=known.dataset,
            split=snake(type(self.split).__name__),
            generator=snake(type(self.generator).__name__),
            features=snake(type(settlement.features).__name__),
            reference=snake(type(self.reference).__name__).removesuffix("_reference"),
            labeller=labeller,
            seed=self.seed,
            n_parties=game.n,
            classes=list(known.names),
            points_per_party=game.sizes[:-1],
            dimensions=game.points.shape[1],
            t=len(game.points),
            synthetic_size=game.sizes[-1],
            kernel=records.KernelResult(
                name=snake(game.kernel.name),
                lengthscale=float(game.kernel.lengthscale),
                min=bounds.gamma,
                max=bounds.eta,
                nonnegative=bounds.nonnegative,
                monotone=bounds.monotone,
            ),
            values=records.Values(
                party=game.party_values.tolist(),
                grand=game.grand_value,
                lower=rewards.lower.tolist(),
                upper=rewards.upper.tolist(),
            ),
            contributions=records.ContributionsResult(
                name=snake(type(self.contribution).__name__),
                phi=contributions.phi.tolist(),
                alpha=contributions.alpha.tolist(),
                stderr=contributions.stderr.tolist(),
                method=contributions.method,
                details=plain(contributions.details),
            ),
            scheme=records.SchemeResult(
                name=snake(type(self.scheme).__name__),
                rewards=rewards.values.tolist(),
                spread=rewards.spread,
                details=plain(rewards.details),
            ),
            incentives={name: records.IncentiveResult(*each) for name, each in settlement.incentives.items()},
            sampling=[
                records.ChainResult(
                    party=c.party,
                    beta=c.beta,
                    size=len(c.indices),
                    target=c.target,
                    start=c.start,
                    value=c.value,
                    reached=c.reached,
                    increasing=c.increasing,
                )
                for c in settlement.chains
            ],
            correlations=evaluation.correlations,
            beta_correlations=evaluation.beta_correlations,
            downstream=evaluation.accuracies,
            missing=evaluation.missing,
            warnings=list(settlement.warnings),
            settings=plain(self),
            seconds={},
            memory=records.Memory(0.0),
            versions=versions(),
        )
