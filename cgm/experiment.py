r"""Experiments: dataset, split, attack, mediator, evaluation, record."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path

import torch

from cgm.data.attacks import Attack, Attacked, NoAttack, PartyAttack
from cgm.data.datasets.base import DatasetLoader
from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.features.base import transform_parts
from cgm.data.holdout import match_parties
from cgm.data.splits import EqualDisjoint, Split
from cgm.evaluation.entries import AttackGains, RewardAudit
from cgm.evaluation.evaluate import Evaluation
from cgm.evaluation.labellers import KNN, AutoLabeller, Labeller
from cgm.evaluation.metrics import Labelled
from cgm.evaluation.privacy.base import Audit, NoAudit, audit_rows
from cgm.evaluation.tasks import SVM, Task
from cgm.mediator import EMBED, Mediator, Settlement
from cgm.records import result as records
from cgm.records.plain import plain, snake, versions
from cgm.records.record import Record
from cgm.utils.checks import check_bool, check_instance, check_integer, check_party, check_text
from cgm.utils.random import stream_seed
from cgm.utils.run import Clock, peak_memory, reset_peak, resolve_device
from cgm.utils.sharing import settings_of, shared
from cgm.valuation.bounds import MAX_PARTIES, kernel_bounds, negative_increments

log = logging.getLogger(__name__)

AUDIT = 103  # key of the random stream
JOINT_AUDIT = (
    "audit: the features were fitted to the rows of the parties and not to the held-out rows; attacks may tell them "
    "apart by the features alone, without the rewards"
)


@dataclass(frozen=True)
class Labels:
    r"""What an experiment knows beside the parties' points, for evaluation only.

    Attributes:
        dataset: The name of the dataset.
        names: The names of the classes.
        parties: The classes of the parties' honest points, each of shape $(N_i)$.
        test: Held-out points, of shape $(M, D)$ or $(M, C, H, W)$, and their classes.
        image: The shape $(C, H, W)$ of the images; `None` if the data is points.
    """

    dataset: str
    names: tuple[str, ...]
    parties: list[torch.Tensor]
    test: Labelled
    image: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class Experiment(Mediator):
    r"""Splits labelled data among parties, computes their rewards, and measures what these are worth.

    It is a `Mediator`, whose settings it shares, with a dataset before it and an evaluation after it.

    Arguments:
        dataset: Loads labelled real points.
        split: Assigns them to the parties.
        attack: What a party hands in instead of its data. The parties are then settled twice, honest and attacked.
        labeller: Labels synthetic points, for evaluation.
        downstream: The task by which rewards are evaluated.
        audit: Measures what rewards reveal about the rows of other parties. Held-out rows are drawn with the shares of
            classes of each party, so that an attack cannot tell members from others by their class.
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
    attack: Attack = field(default_factory=NoAttack)
    labeller: Labeller = field(default_factory=AutoLabeller)
    downstream: Task = field(default_factory=SVM)
    audit: Audit = field(default_factory=NoAudit)
    seed: int = 0
    data_dir: str | None = None
    figures: bool = True
    embedding_party: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(getattr(self.dataset, "load", None)):
            raise ValueError(f"dataset: expected an object with a method load, got {type(self.dataset).__name__}")
        check_instance("split", self.split, Split)
        check_instance("attack", self.attack, Attack)
        check_instance("labeller", self.labeller, Labeller)
        check_instance("downstream", self.downstream, Task)
        check_instance("audit", self.audit, Audit)
        check_text("data_dir", self.data_dir, path=True, optional=True)
        check_bool("figures", self.figures)
        check_integer("seed", self.seed, min=0)
        check_integer("embedding_party", self.embedding_party, min=1)
        if isinstance(n := getattr(self.split, "n_parties", None), int):  # of splits that know it without data
            self._check_parties(n)

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

        from cgm.evaluation.evaluate import evaluate
        from cgm.evaluation.gains import measure_gains
        from cgm.records.figures.run import draw_run

        resolve_device(self.device)  # an error before any long work
        folder = Path(output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "result.json").unlink(missing_ok=True)  # of an earlier run: its other files are about to change
        clock = Clock()
        reset_peak()

        key = settings_of(self.dataset), settings_of(self.split), self.data_dir, self.seed
        with clock("data"):
            parties, known, attacked = self._load(key)
            makes_images = self.generator.space == "data" and known.image is not None
            classifier = self.labeller.classifier(known.dataset, known.image if makes_images else None)

        def settle_honest() -> Settlement:
            # handed over, not kept: the mediator frees them, up to a gigabyte of images, as soon as possible
            data = [parties.pop(0) for _ in known.parties]
            return self.settle(data, self.seed, classifier)

        mediator = (settings_of(getattr(self, setting.name)) for setting in fields(Mediator))
        own = *key, *mediator, classifier and classifier.fingerprint()
        honest, classes = None, known.parties
        if attacked is None:
            settlement = shared("honest", own, settle_honest)
        else:
            log.info("the parties are settled without the attack first")
            with clock("honest"):
                honest = shared("honest", own, settle_honest)
            parties, classes = attacked.parties, attacked.labels
            # values are compared, in the same features
            settlement = self.settle([parties.pop(0) for _ in classes], self.seed, classifier, honest.features)
        clock.seconds |= settlement.seconds

        with clock("features"):
            move = partial(transform_parts, settlement.features, [known.test[0]], self.cache or None)
            (points,) = shared("held-out points", (settlement.features, *key), move)
        with clock("labels"):
            labels = self._label(settlement, honest or settlement, known)
            labels_honest = None if honest is None else self._label(honest, honest, known)
        test = points, known.test[1]
        evaluation = evaluate(settlement, classes, labels, len(known.names), self.downstream, test, clock)
        gains = None
        if honest is not None and attacked is not None:
            with clock("gains"):
                gains = measure_gains(
                    snake(type(self.attack).__name__),
                    attacked.identities,
                    honest,
                    settlement,
                    known.parties,
                    (labels_honest, labels),
                    self.downstream,
                    test,
                )

        with clock("audit"):
            audits = self._audit(settlement, classes, test)
        rows, missing = audit_rows(audits)
        evaluation = replace(evaluation, metrics=[*evaluation.metrics, *rows], missing=[*evaluation.missing, *missing])

        labeller = "none" if labels is None else "cnn" if classifier is not None else "knn"
        if labeller == "knn" and not isinstance(self.labeller, KNN):
            labeller = snake(type(self.labeller).__name__)
        result = replace(self._result(settlement, evaluation, known, labeller, gains), audit=audits)
        if honest is not None:
            result.warnings.extend(f"without the attack: {message}" for message in honest.warnings)
        if audits and settlement.features.joint:
            log.warning(JOINT_AUDIT)
            result = replace(result, warnings=[*result.warnings, JOINT_AUDIT])
        if self.figures:
            party, seed = self.embedding_party - 1, stream_seed(self.seed, EMBED)
            with clock("figures"):
                draw_run(folder, result, settlement, classes, labels, party, seed)
        result = replace(result, seconds=clock.seconds, memory=records.Memory(peak_memory()))
        rewards = {(chain.party, chain.beta): chain.indices for chain in settlement.chains}
        record = Record(result, evaluation.metrics, rewards, settlement.pool.points)
        record.save(folder)

        return record

    def _check_parties(self, n: int) -> None:
        """Check that the parties that settings name are among n."""

        check_party("embedding_party", self.embedding_party, n)
        if isinstance(self.attack, PartyAttack):
            self.attack.check_parties(n)

    def _load(self, key: Hashable) -> tuple[list[torch.Tensor], Labels, Attacked | None]:
        """Load the dataset; return the parties' points, what is known of them, and what they hand in if one attacks.

        Arguments:
            key: The settings of dataset and split, as a key of what runs share.
        """

        load = partial(self.dataset.load, self.data_dir, self.seed)
        dataset = shared("dataset", (settings_of(self.dataset), self.data_dir, self.seed), load, keep=1)
        log.info("dataset %s: %d points, %d held out", dataset.name, len(dataset.x), len(dataset.x_test))
        rows = self.split.assign(dataset.y, len(dataset.classes), self.seed, dataset.ordered, dataset.classes)
        self._check_parties(len(rows))
        labels = Labels(
            dataset=dataset.name,
            names=dataset.classes,
            parties=[dataset.y[r] for r in rows],
            test=(dataset.x_test, dataset.y_test),
            image=tuple(dataset.x.shape[1:]) if dataset.x.dim() == 4 else None,
        )

        parties = [dataset.x[r] for r in rows]
        if isinstance(self.attack, NoAttack):
            return parties, labels, None

        def public() -> Labelled:
            rest = torch.ones(len(dataset.y), dtype=torch.bool)
            rest[torch.cat(rows)] = False
            return dataset.x[rest], dataset.y[rest]

        points = shared("public points", key, public, keep=1)
        attacked = self.attack.apply(parties, labels.parties, self.seed, points)

        return parties, labels, attacked if attacked.identities else None

    def _label(self, settlement: Settlement, honest: Settlement, known: Labels) -> torch.Tensor | None:
        """Return the classes of a settlement's pool; without a classifier, honest points vote on them."""

        if settlement.pool.labels is not None:
            return settlement.pool.labels
        return self.labeller.label(torch.cat(honest.parties), torch.cat(known.parties), settlement.pool.points)

    def _audit(self, settlement: Settlement, classes: Sequence[torch.Tensor], test: Labelled) -> list[RewardAudit]:
        """Audit the rewards, with held-out points in the features and their classes."""

        points, labels = test
        chosen = match_parties(labels, classes, self.seed)
        held_out, pool = [points[rows] for rows in chosen], settlement.pool.points
        rewards = [(chain.party, chain.beta, pool[chain.indices]) for chain in settlement.chains]

        return self.audit.audit(settlement.parties, held_out, rewards, stream_seed(self.seed, AUDIT))

    def _result(
        self,
        settlement: Settlement,
        evaluation: Evaluation,
        known: Labels,
        labeller: str,
        gains: AttackGains | None,
    ) -> records.Result:
        """Collect what `result.json` holds."""

        game, contributions, rewards = settlement.game, settlement.contributions, settlement.rewards
        bounds = kernel_bounds(game)
        changes = negative_increments(game) if game.n <= MAX_PARTIES else None
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
                increments=changes and records.IncrementsResult(changes.share, changes.smallest),
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
            attack=gains,
        )
