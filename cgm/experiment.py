r"""Experiments: dataset, split, attack, mediator, evaluation, record."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch

from cgm.data.attacks import Attack, Attacked, NoAttack, PartyAttack
from cgm.data.datasets.base import Dataset, DatasetLoader
from cgm.data.datasets.credit_ratings import CreditRatings
from cgm.data.features.autoencoder import Automatic
from cgm.data.features.base import Features, Identity, transform_parts
from cgm.data.holdout import match_parties
from cgm.data.splits import EqualDisjoint, Split
from cgm.evaluation.entries import AttackGains, RewardAudit
from cgm.evaluation.evaluate import Evaluation, correlated_names, evaluate
from cgm.evaluation.gains import measure_gains
from cgm.evaluation.labelled import Labelled
from cgm.evaluation.labellers import KNN, AutoLabeller, Labeller, classify_pool
from cgm.evaluation.measure import OF_REWARDS
from cgm.evaluation.metrics.base import Metric, check_metrics, named_metrics
from cgm.evaluation.metrics.paper import paper_metrics
from cgm.evaluation.privacy.base import Audit, NoAudit, audit_rows
from cgm.evaluation.tasks.base import Task
from cgm.evaluation.tasks.svm import SVM
from cgm.mediator import Mediator, MediatorSettings, Settlement
from cgm.privacy.release import NoPrivacy, Privacy, Release
from cgm.records.earlier import find_earlier
from cgm.records.record import CONFIGURATION, RESULT, Arrays, Record, has_traces
from cgm.records.result import Memory, Result, Values
from cgm.release import Released, check_release, settle_points, standardised
from cgm.sketches import SketchNumbers
from cgm.utils.checks import check_party
from cgm.utils.files import write_whole
from cgm.utils.plain import plain, snake, versions
from cgm.utils.random import Stream, stream_seed
from cgm.utils.run import Clock, peak_memory, reset_peak, resolve_device, timed
from cgm.utils.settings import Integer, Text
from cgm.valuation.bounds import MAX_PARTIES, kernel_bounds, negative_increments

log = logging.getLogger(__name__)

MAX_RATIO = 100  # of the standard deviations of columns that are valued as they are
JOINT_AUDIT = (
    "audit: the features were fitted to the rows of the parties and not to the held-out rows; attacks may tell them "
    "apart by the features alone, without the rewards"
)


@dataclass(frozen=True)
class ExperimentData:
    r"""The data of an experiment; the mediator sees the parties' points alone.

    Attributes:
        dataset: The name of the dataset.
        classes: The names of the classes.
        parties: The parties' points $D_i$, each of shape $(N_i, D)$ or $(N_i, C, H, W)$.
        labels: Their classes, each of shape $(N_i)$.
        test: Held-out points, of shape $(M, D)$ or $(M, C, H, W)$, and their classes.
        attacked: What the parties hand in while one of them attacks; `None` without an attack.
        public: Points that nobody owns, and their classes; `None` without `privacy=release`.
        others: Points that no party has, and their classes; `None` unless features learn from them.
    """

    dataset: str
    classes: tuple[str, ...]
    parties: list[torch.Tensor]
    labels: list[torch.Tensor]
    test: Labelled
    attacked: Attacked | None
    public: Labelled | None = None
    others: Labelled | None = None

    @property
    def image(self) -> tuple[int, ...] | None:
        """The shape $(C, H, W)$ of the images; `None` if the data is points."""

        return tuple(self.parties[0].shape[1:]) if self.parties[0].dim() == 4 else None


@dataclass(frozen=True, kw_only=True)
class Experiment(MediatorSettings):
    r"""Splits labelled data among parties, computes their rewards, and measures what these are worth.

    It makes a `Mediator` of its settings, with a dataset before it and an evaluation after it.

    Arguments:
        dataset: Loads labelled real points; or a `Dataset` of points and labels in memory.
        split: Assigns them to the parties.
        attack: What a party hands in instead of its data. The parties are then settled twice, honest and attacked.
        labeller: Labels synthetic points, for evaluation.
        metric: Metrics of how close the parties come to all data with their rewards, by their names; or a list of
            metrics and names of choices, such as `["paper", "energy_distance"]`. The metrics of the paper by default.
        downstream: The task by which rewards are evaluated.
        audit: Measures what rewards reveal about the rows of other parties. Held-out rows are drawn with the shares of
            classes of each party, so that an attack cannot tell members from others by their class.
        privacy: Whether what reaches other parties is differentially private, see `cgm.privacy.Release`.
        seed: The seed of everything random, but for the noise of `privacy`.
        data_dir: The folder of data; the environment variable CGM_DATA or else `data`, if `None`.
        figures: Whether to draw figures.
        embedding_party: The party, from 1, whose rewards are drawn in the plane.

    Raises:
        ValueError: If a setting is out of range.

    Example:
        >>> experiment = Experiment(dataset=CreditRatings(), split=EqualDisjoint(), synthetic_size=20_000)
        >>> record = experiment.run("outputs/by-hand")  # doctest: +SKIP
        >>> small = Experiment(dataset="digits", split="unequal", features="pca", kernel="laplacian")
        >>> small.kernel
        Laplacian(lengthscale='fit')
    """

    dataset: DatasetLoader | Dataset = field(default_factory=CreditRatings)
    split: Split = field(default_factory=EqualDisjoint)
    attack: Attack = field(default_factory=NoAttack)
    labeller: Labeller = field(default_factory=AutoLabeller)
    metric: Mapping[str, Metric] = field(default_factory=paper_metrics)
    downstream: Task = field(default_factory=SVM)
    audit: Audit = field(default_factory=NoAudit)
    privacy: Privacy = field(default_factory=NoPrivacy)
    seed: Annotated[int, Integer(min=0)] = 0
    data_dir: Annotated[str, Text(path=True)] | None = None
    figures: bool = True
    embedding_party: Annotated[int, Integer(min=1)] = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", named_metrics(self.metric, self))
        for setting, value in {"dataset": self.dataset, "downstream": self.downstream}.items():
            if isinstance(value, type):
                name = value.__name__
                raise ValueError(f"{setting}: got the class {name} itself, an object is expected; write {name}()")
        if all(callable(getattr(self.downstream, name, None)) for name in ("fit", "predict")):
            name = type(self.downstream).__name__
            raise ValueError(f"downstream: expected a Task, got the estimator {name}; write EstimatorTask({name}(...))")
        super().__post_init__()
        if not isinstance(self.dataset, Dataset) and not callable(getattr(self.dataset, "load", None)):
            raise ValueError(f"dataset: expected an object with a method load, got {type(self.dataset).__name__}")
        taken = dict.fromkeys(OF_REWARDS, "a number of each reward")
        taken |= {f"{name}{end}": f"the score {name}" for name in self.downstream.scores for end in ("", "_before")}
        check_metrics(self.metric, taken)
        self._check_privacy()
        self._check_labelled()
        if isinstance(n := getattr(self.split, "n_parties", None), int):  # of splits that know it without data
            self._check_parties(n)

    @property
    def correlated(self) -> list[str]:
        """The names of what is correlated with α and β: metrics, the size of rewards, and scores."""

        return correlated_names(self.metric, self.downstream)

    def run(self, output_dir: str | Path | None = None, force: bool = False) -> Record:
        """Run the experiment and write its record to a folder.

        A run that is complete in this folder is not repeated: its record is returned, and the log says so. One that was
        interrupted, is damaged, or is of another version of cgm runs again; so does one whose settings cannot be
        compared, such as functions.

        Arguments:
            output_dir: The folder, created if necessary: `result.json`, `metrics.csv`, `rewards.npz`, figures. `None`:
                nothing is written, and no figures are drawn.
            force: Whether to run in any case, and to replace what is in the folder.

        Returns:
            The record, as it was written.

        Raises:
            ValueError: If a setting or the data is invalid; before any long work, where possible. Also if the folder
                is that of a run with other settings, which the message names, or has other files than those of a run.
            InfeasibleScheme: If no rewards fit their bounds, however large G.
        """

        if output_dir is None:
            return self.run_anew(None)
        folder = Path(output_dir)
        if not force:
            earlier = find_earlier(folder, plain(self), plain(self, attributes=True))
            if earlier.different:
                raise ValueError(
                    f"{folder}: has a run with other settings ({', '.join(earlier.different)}); give another folder, "
                    "or force=True to replace it"
                )
            if earlier.result is not None:
                log.warning("%s: complete already, this record is loaded; force=True runs it again", folder)
                return Record.load(folder)
            if folder.is_dir() and any(folder.iterdir()) and not has_traces(folder):
                raise ValueError(
                    f"{folder}: expected a new or empty folder, or that of a run; found other files in it; name "
                    "another one, or give force=True"
                )
            if earlier.problem:
                log.warning("%s: %s", folder, earlier.problem)
        return self.run_anew(folder, plain(self, attributes=True))

    def run_anew(self, folder: Path | None, configuration: Mapping[str, Any] | None = None) -> Record:
        """Run the experiment and write its record to a folder, whatever an earlier run has left there.

        Arguments:
            folder: The folder. `None`: nothing is written.
            configuration: The settings as they are given, for `configuration.json`. `None`: it is there already.
        """

        resolve_device(self.device)  # an error before any long work
        if isinstance(self.features, Features):
            self.features.prepare()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / RESULT).unlink(missing_ok=True)  # of an earlier run: its other files are about to change
        reset_peak()

        with Clock() as clock, self.engine.running():
            with timed("data"):
                data = self.load()
            mediator = self._mediator(data)
            scales = self._compare_scales(data.parties)
            honest, numbers, released, x, classes = None, None, None, data.parties, data.labels
            if data.attacked is not None:
                log.info("the parties are settled without the attack first")
                with timed("honest"):
                    honest = mediator.settle(data.parties, self.seed)
                x, classes = data.attacked.parties, data.attacked.labels
            if isinstance(self.privacy, Release) and data.public is not None:
                parts = self._public_parts(*data.public, len(data.classes))
                public = data.public[0]
                settlement, numbers, released = settle_points(mediator, self.privacy, x, public, parts, self.seed)
            else:
                # values are compared with the honest ones, in the same features
                settlement = mediator.settle(x, self.seed, None if honest is None else honest.features)
            clock.seconds |= settlement.seconds

            with timed("features"):
                (points,) = transform_parts(settlement.features, [data.test[0]], self.cache or None)
            test = points, data.test[1]
            with timed("labels"):
                labeller, labels = self._label(settlement, honest or settlement, data)
                labels_honest = None if honest is None else self._label(honest, honest, data)[1]
            evaluation = evaluate(settlement, classes, labels, len(data.classes), self.metric, self.downstream, test)
            gains = None
            if honest is not None and data.attacked is not None:
                with timed("gains"):
                    gains = measure_gains(
                        snake(type(self.attack).__name__),
                        data.attacked.identities,
                        honest,
                        settlement,
                        data.labels,
                        (labels_honest, labels),
                        self.downstream,
                        test,
                    )
            with timed("audit"):
                audits = self._audit(settlement, classes, test)
            rows, missing = audit_rows(audits)
            evaluation = replace(
                evaluation, metrics=[*evaluation.metrics, *rows], missing=[*evaluation.missing, *missing]
            )

            warnings = [*scales, *settlement.warnings]
            if honest is not None:
                warnings.extend(f"without the attack: {message}" for message in honest.warnings)
            if audits and settlement.features.joint:
                log.warning(JOINT_AUDIT)
                warnings.append(JOINT_AUDIT)
            result = self._result(settlement, evaluation, data, labeller, audits, gains, warnings, numbers, released)
            if folder is not None and configuration is not None:  # the first file, by which the folder is that of a run
                write_whole(folder / CONFIGURATION, json.dumps(configuration, indent=2).encode())
            if self.figures and folder is not None:
                from cgm.records.figures.run import draw_run  # matplotlib, which takes a second to import

                with timed("figures"):
                    party, seed = self.embedding_party - 1, stream_seed(self.seed, Stream.EMBED)
                    draw_run(folder, result, settlement, classes, labels, party, seed)
        result = replace(result, seconds=clock.seconds, memory=Memory(peak_memory()))
        rewards = {key: reward.indices for key, reward in settlement.drawn.items()}
        record = Record(result, evaluation.metrics, Arrays(rewards, settlement.pool.points))
        if folder is not None:
            record.save(folder)

        return record

    def load(self) -> ExperimentData:
        """Load the dataset, split it among the parties, and let one of them attack."""

        given = self.dataset
        dataset = given if isinstance(given, Dataset) else given.load(self.data_dir, self.seed)
        if not isinstance(dataset, Dataset):
            name, kind = type(self.dataset).__name__, type(dataset).__name__
            raise ValueError(f"dataset: {name}.load returned a {kind}, expected a Dataset")
        log.info("dataset %s: %d points, %d held out", dataset.name, len(dataset.x), len(dataset.x_test))
        rows = self.split.assign(dataset.y, len(dataset.classes), self.seed, dataset.ordered, dataset.classes)
        self._check_parties(len(rows))
        parties, labels = [dataset.x[r] for r in rows], [dataset.y[r] for r in rows]
        attacked, others = None, None
        if self._is_labelled or not isinstance(self.attack, NoAttack):
            rest = torch.ones(len(dataset.y), dtype=torch.bool)  # the points that no party has
            rest[torch.cat(rows)] = False
            others = dataset.x[rest], dataset.y[rest]
        if not isinstance(self.attack, NoAttack):
            attacked = self.attack.apply(parties, labels, self.seed, others)

        data = ExperimentData(
            dataset=dataset.name,
            classes=dataset.classes,
            parties=parties,
            labels=labels,
            test=(dataset.x_test, dataset.y_test),
            attacked=attacked if attacked is not None and attacked.identities else None,
            others=others if self._is_labelled else None,
        )
        return self._with_public(data) if isinstance(self.privacy, Release) else data

    def _mediator(self, data: ExperimentData) -> Mediator:
        """Return the mediator, with features that have learnt from the points that no party has if they need labels."""

        if data.others is None or not isinstance(self.features, Features):
            return self.mediator()
        with timed("features"):
            seed = stream_seed(self.seed, Stream.LEARN_FEATURES)
            return self.mediator(features=self.features.learn(*data.others, seed, self.cache or None))

    @property
    def _is_labelled(self) -> bool:
        """Whether the features learn from labelled points that no party has."""

        return isinstance(self.features, Features) and self.features.labelled

    def _with_public(self, data: ExperimentData) -> ExperimentData:
        """Return data with a part of its held-out points as public ones, by which points are standardised."""

        (points, classes), share = data.test, float(self.privacy.public)  # type: ignore[attr-defined]  # of a release
        count = round(share * len(points))
        if not 2 <= count <= len(points) - 2:
            raise ValueError(
                f"privacy.public={share:g}: {count} of {len(points)} held-out points would be public; expected at "
                "least 2, and 2 others for evaluation"
            )
        random = torch.Generator().manual_seed(stream_seed(self.seed, Stream.PUBLIC_ROWS))
        order = torch.randperm(len(points), generator=random)
        rows, others = order[:count], order[count:].sort().values
        public, test, *parties = standardised(points[rows], [points[rows], points[others], *data.parties])
        return replace(data, parties=parties, public=(public, classes[rows]), test=(test, classes[others]))

    def _public_parts(self, x: torch.Tensor, y: torch.Tensor, n_classes: int) -> list[torch.Tensor]:
        """Return public points that stand for those of the parties, and last for G, to fit a length-scale to them."""

        if self.kernel.lengthscale not in ("fit", "fit_monotone"):
            return []
        half = len(x) // 2
        try:
            rows = replace(self.split, points_per_party=None).assign(y[:half], n_classes, self.seed)  # type: ignore[type-var]
        except ValueError as error:
            raise ValueError(
                f"kernel.lengthscale={self.kernel.lengthscale}: is fitted to the {len(x)} public points, which are too "
                f"few to be split like those of the parties ({error}); say a larger privacy.public, median, or a number"
            ) from error
        return [*(x[part] for part in rows), x[half:]]

    def _check_privacy(self) -> None:
        """Check that nothing is fitted to the rows of parties that `privacy` protects."""

        if not isinstance(self.privacy, Release):
            return
        if isinstance(self.privacy.public, str):
            raise ValueError(
                f"privacy.public={self.privacy.public}: of an experiment, expected the share of the held-out points "
                "that is public, such as 0.5"
            )
        if not isinstance(self.attack, NoAttack):
            raise ValueError(f"attack={snake(type(self.attack).__name__)}: not with privacy=release; say attack=none")
        if isinstance(n := getattr(self.split, "n_parties", None), int):
            self.privacy.epsilons(n)
        check_release(self, self.privacy)

    def _check_labelled(self) -> None:
        """Check that points that no party has serve nothing else, if features learn from them."""

        if self._is_labelled:
            name = f"features={snake(type(self.features).__name__)}: learns from labelled points that no party has"
            if not isinstance(self.attack, NoAttack):
                raise ValueError(f"{name}, which an attacker might hand in; say attack=none, or choose other features")
            if isinstance(self.privacy, Release):
                raise ValueError(f"{name}; with privacy=release, choose features without labels")

    def _compare_scales(self, parties: Sequence[torch.Tensor]) -> list[str]:
        """Return a warning, which is logged, if points are valued as they are and their columns differ in scale."""

        if parties[0].dim() != 2 or not isinstance(self.features, Automatic | Identity):
            return []
        deviations = torch.cat(list(parties)).double().std(0)
        high = int(deviations.argmax())
        low = int(deviations.where(deviations > 0, torch.inf).argmin())  # distances do not depend on a constant column
        if not deviations[high] > MAX_RATIO * deviations[low]:
            return []
        message = (
            f"dataset: column {high} has the standard deviation {deviations[high]:.3g} and column {low} "
            f"{deviations[low]:.3g}; columns with large numbers decide about distances alone. Standardise the points, "
            "such as (x - x.mean(0)) / x.std(0)"
        )
        log.warning(message)
        return [message]

    def _check_parties(self, n: int) -> None:
        """Check that the parties that settings name are among n."""

        check_party("embedding_party", self.embedding_party, n)
        if isinstance(self.attack, PartyAttack):
            self.attack.check_parties(n)

    def _label(
        self, settlement: Settlement, honest: Settlement, data: ExperimentData
    ) -> tuple[str, torch.Tensor | None]:
        """Return the name of the labeller and the classes of a settlement's pool.

        A classifier sees the images of the pool, drawn again; without one, honest points vote, or public ones with
        `privacy=release`, since labels of a reward may tell no more of other parties than the reward itself.
        """

        image = data.image if settlement.generator.space == "data" else None
        classifier = self.labeller.classifier(data.dataset, image)
        if classifier is not None:
            seed = stream_seed(self.seed, Stream.SAMPLE_POOL)
            size = len(settlement.pool.points)
            return "cnn", classify_pool(classifier, settlement.generator, size, seed, self.cache or None)
        x, y = torch.cat(honest.parties), torch.cat(data.labels)
        if data.public is not None:
            x, y = settlement.features.transform(data.public[0]), data.public[1]
        labels = self.labeller.label(x, y, settlement.pool.points)
        name = "knn" if isinstance(self.labeller, KNN) else snake(type(self.labeller).__name__)
        return "none" if labels is None else name, labels

    def _audit(self, settlement: Settlement, classes: Sequence[torch.Tensor], test: Labelled) -> list[RewardAudit]:
        """Audit the rewards, with held-out points in the features and their classes."""

        points, labels = test
        chosen = match_parties(labels, classes, self.seed)
        held_out, pool = [points[rows] for rows in chosen], settlement.pool.points
        rewards = [(party, beta, pool[reward.indices]) for (party, beta), reward in settlement.drawn.items()]

        return self.audit.audit(settlement.parties, held_out, rewards, stream_seed(self.seed, Stream.AUDIT))

    def _result(
        self,
        settlement: Settlement,
        evaluation: Evaluation,
        data: ExperimentData,
        labeller: str,
        audits: list[RewardAudit],
        gains: AttackGains | None,
        warnings: list[str],
        numbers: SketchNumbers | None,
        released: Released | None,
    ) -> Result:
        """Collect what `result.json` holds, but for the time and the memory of the run."""

        game, rewards = settlement.game, settlement.rewards
        valued = game if numbers is None else numbers.game  # what parties may know
        increments = negative_increments(valued) if game.n <= MAX_PARTIES else None
        return Result(
            dataset=data.dataset,
            split=snake(type(self.split).__name__),
            generator=snake(type(self.generator).__name__),
            features=snake(type(settlement.features).__name__),
            reference=snake(type(self.reference).__name__).removesuffix("_reference"),
            labeller=labeller,
            seed=self.seed,
            n_parties=game.n,
            classes=list(data.classes),
            points_per_party=game.sizes[:-1],
            dimensions=game.points.shape[1],
            t=len(game.points),
            synthetic_size=game.sizes[-1],
            kernel=kernel_bounds(game),
            values=Values(valued.party_values, valued.grand_value, rewards.lower, rewards.upper, increments),
            contributions=settlement.contributions,
            scheme=rewards,
            incentives=settlement.incentives,
            sampling=list(settlement.drawn.values()),
            correlations=evaluation.correlations,
            beta_correlations=evaluation.beta_correlations,
            distances=evaluation.distances,
            downstream=evaluation.scores,
            audit=audits,
            missing=evaluation.missing,
            warnings=warnings,
            settings=plain(self),
            seconds={},
            memory=Memory(0.0),
            versions=versions(),
            attack=gains,
            approximation=self.mediator().approximation(game, self.seed),
            privacy=released,
        )
