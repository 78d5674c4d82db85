r"""The runs of the study: experiments with `privacy=release`, and errors of α over draws of noise.

Images are valued in the features of the encoder that comes with cgm. It was trained on the training images, and stands
for one that was trained on public images; all else is fitted to the public half of the held-out rows.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate

from cgm.cli.jobs import Job as Run
from cgm.contributions.semivalues import Shapley
from cgm.data.datasets.base import Dataset
from cgm.data.features.base import transform_parts
from cgm.data.features.encoder import Encoder
from cgm.evaluation.tasks.svm import SVM
from cgm.experiment import Experiment
from cgm.privacy.release import Release
from cgm.privacy.sketch import Sketch
from cgm.privacy.valuation import SketchValuation
from cgm.release import computation, public_kernel, schema_of_points
from cgm.utils.run import limited
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.valuation import Valuation
from experiments.settings import compose_run

DATASETS: dict[str, tuple[str, ...]] = {
    "credit_ratings": ("dataset.points_per_class=6000", "dataset.test_points_per_class=800"),
    "credit_card": (),
    "mnist": (),
    "cifar10": (),
}
IMAGES = ("mnist", "cifar10")
TRAIN, TEST = 30_000, 6_000  # images that are encoded
EPSILONS = (0.5, 1.0, 3.0, 10.0, None)  # None: without privacy
SIZES = {1000: 5_000, 5000: 25_000}  # |G| for each number of points of a party: as many as all parties have
PLACES = ((1000, 0), (5000, 0), (1000, 1), (5000, 1))  # points of a party and seeds, in the order of their runs
COMMON = (
    "scheme=fair",
    "metric=none",
    "downstream.max_points=5000",
    "figures=false",
    "cache=false",
    "generator.steps=100",
)
RULES = ("median", "fit")  # length-scales of the errors of α
ALPHA_EPSILONS = (0.5, 1.0, 3.0)
ALPHA_POINTS, ALPHA_POOL, ALPHA_DRAWS, ALPHA_LANDMARKS = 5000, 10_000, 20, 1024


@dataclass(frozen=True)
class Job:
    """A line of the records.

    Attributes:
        part: `"runs"`, `"price"` (runs with `privacy.price=bias`) or `"alpha"`.
        dataset: The name of the dataset.
        points: The number of points of each party.
        seed: The seed.
        epsilon: ε; `None` without privacy, and for `"alpha"`.
        rule: The rule of the length-scale.
    """

    part: str
    dataset: str
    points: int
    seed: int
    epsilon: float | None = None
    rule: str = "median"


def plan() -> Iterator[Job]:
    """List all jobs, those first without which the report would be empty."""

    for number, (points, seed) in enumerate(PLACES):
        for name in DATASETS:
            for epsilon in EPSILONS:
                yield Job("runs", name, points, seed, epsilon)
        if number == 0:
            for name in DATASETS:
                for rule in RULES:
                    yield Job("alpha", name, ALPHA_POINTS, 0, None, rule)
        if points == 1000:
            for name in DATASETS:
                for epsilon in EPSILONS[:-1]:
                    yield Job("price", name, points, seed, epsilon)


@limited(1)
def run(job: Job, cache_folder: str) -> dict[str, Any]:
    """Run a job, and return its numbers.

    Arguments:
        job: The job.
        cache_folder: The folder where features of images are kept.
    """

    experiment = replace(_experiment(job), dataset=_dataset(job.dataset, job.seed, cache_folder))
    return vars(job) | (_alpha(experiment, job.rule) if job.part == "alpha" else _run(experiment, job))


def _experiment(job: Job) -> Experiment:
    """Return the experiment of a job, but for its dataset."""

    overrides = ["experiment=privacy_value", f"dataset={job.dataset}", *COMMON, f"seed={job.seed}"]
    overrides += [f"split.points_per_party={job.points}", f"synthetic_size={SIZES[job.points]}"]
    overrides += ["privacy=none", "generator=mean_embedding"] if job.epsilon is None and job.part == "runs" else []
    if job.epsilon is not None:
        overrides += [f"privacy.epsilon={job.epsilon}", f"privacy.price={'bias' if job.part == 'price' else 'none'}"]
    return Run.construct(compose_run(overrides), overrides).experiment


@cache
def _dataset(name: str, seed: int, cache_folder: str) -> Dataset:
    """Load a dataset; of images, the features of some."""

    config = compose_run([f"dataset={name}", *DATASETS[name]])
    loaded = instantiate(config.dataset, _convert_="all").load(None, 0 if name in IMAGES else seed)
    if name not in IMAGES:
        return loaded
    train, test = (_some(len(y), count) for y, count in ((loaded.y, TRAIN), (loaded.y_test, TEST)))
    x, x_test = loaded.x[train], loaded.x_test[test]
    encoder = Encoder(pretrained=True).fit(x_test[:2000], 0)
    z, z_test = transform_parts(encoder, [x, x_test], cache_folder)
    return Dataset(name, z, loaded.y[train], z_test, loaded.y_test[test], loaded.classes)


def _some(count: int, most: int) -> torch.Tensor:
    return torch.from_numpy(np.sort(np.random.default_rng(0).permutation(count)[:most]))


def _run(experiment: Experiment, job: Job) -> dict[str, Any]:
    """Run an experiment, and return what its record says of the parties."""

    result = experiment.run(None).result
    numbers: dict[str, Any] = {
        "grand": result.values.grand,
        "value": result.values.party.tolist(),
        "alpha": result.contributions.alpha.tolist(),
        "reward": result.scheme.values.tolist(),
        "size": [reward.size for reward in result.sampling],
        "with_reward": [reward.value if reward.checked is None else reward.checked for reward in result.sampling],
        "own": [scores.before["accuracy"] for scores in result.downstream],
        "accuracy": [scores.after["accuracy"] for scores in result.downstream],
        "synthetic_size": result.synthetic_size,
        "seconds": round(sum(result.seconds.values()), 1),
    }
    if result.privacy is not None:
        names = ("values_stderr", "alpha_stderr", "values_exact", "alpha_exact", "alpha_features", "missed")
        numbers |= {name: getattr(result.privacy, name) for name in (*names, "dimensions", "public_rows")}
        if job.part == "runs" and job.epsilon == 1:
            numbers["with_public"] = _with_public(experiment)
    return numbers


def _with_public(experiment: Experiment) -> list[float]:
    """Return the accuracies of own data with the public rows, which everybody has, in place of a reward."""

    data = experiment.load()
    assert data.public is not None  # of a release
    assert isinstance(experiment.downstream, SVM)
    limit, random = 5000, np.random.default_rng(0)
    found = []
    for x, y in zip(data.parties, data.labels, strict=True):
        points, classes = torch.cat([x, data.public[0]]), torch.cat([y, data.public[1]])
        rows = random.permutation(len(points))[:limit]
        arrays = (points[rows], classes[rows], *data.test)
        found.append(experiment.downstream.score(*(each.numpy() for each in arrays))["accuracy"])
    return found


def _alpha(experiment: Experiment, rule: str) -> dict[str, Any]:
    """Compute errors of α against that of the rows, of the features alone and over draws of noise."""

    privacy = experiment.privacy
    assert isinstance(privacy, Release)
    privacy = replace(privacy, landmarks=ALPHA_LANDMARKS)
    experiment = replace(experiment, kernel=SquaredExponential(rule), privacy=privacy)
    data = experiment.load()
    assert data.public is not None
    parts = experiment._public_parts(*data.public, len(data.classes))
    kernel = public_kernel(experiment.kernel, data.public[0], parts, experiment.kernel_search)
    schema, origin = schema_of_points(data.public[0], kernel, privacy, experiment.seed)
    rows = [x - origin for x in data.parties]
    sketches = [Sketch.of_points(schema, x, f"party {k + 1}", 3.0) for k, x in enumerate(rows)]
    game = _with_pool(experiment, privacy, sketches)
    exact = Valuation(kernel, rows, game.points, method="exact")
    true, shapley = Shapley().compute(exact).alpha, Shapley()
    clean = game.without_noise(rows)
    features = shapley.compute(clean).alpha
    errors = {}
    for epsilon in ALPHA_EPSILONS:
        noisy = copy.copy(clean)
        noisy.noise = torch.tensor([replace(each, epsilon=epsilon).noise for each in sketches], dtype=torch.float64)
        drawn = torch.stack([shapley.compute(each).alpha for each in noisy.draws(ALPHA_DRAWS, 0)])
        errors[f"{epsilon:g}"] = {
            "noise": float((drawn - features).square().mean().sqrt()),
            "both": float((drawn - true).square().mean().sqrt()),
        }
    return {
        "lengthscale": kernel.numeric_lengthscale,
        "dimensions": clean.dimensions,
        "missed": game.missed,
        "alpha_exact": true.tolist(),
        "features": float((features - true).square().mean().sqrt()),
        "largest": float((features - true).abs().max()),
        "errors": errors,
    }


def _with_pool(experiment: Experiment, privacy: Release, sketches: Sequence[Sketch]) -> SketchValuation:
    """Return the valuation of sketches with a pool that is fitted to them."""

    steps = computation(experiment, privacy, experiment.seed)
    return steps.pool.fit(sketches, experiment.seed).value(ALPHA_POOL)
