"""Settlements of real tables with several kernels and length-scales, from the deals of their rows to records."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from cgm.contributions.semivalues import Shapley
from cgm.contributions.uncertainty import standard_errors
from cgm.data.features.linear import PCA
from cgm.data.tables.encoding import TableEncoding
from cgm.data.tables.schema import Schema, infer_schema
from cgm.generators.copula import Copula
from cgm.mediator import Mediator, Pooled
from cgm.rewards.sampling import WeightedSampling
from cgm.rewards.schemes.base import InfeasibleScheme, Scheme
from cgm.rewards.schemes.gain import Gain
from cgm.rewards.schemes.shapley_fair import ShapleyFair
from cgm.settlements.tables import OfRows, Rows, TableMediator, repeated_numbers
from cgm.utils.random import Stream, stream_seed
from cgm.valuation.kernels import Kernel, Laplacian, RationalQuadratic, SquaredExponential, Sum
from experiments.lengthscales.deals import Table, deal

log = logging.getLogger(__name__)

BETAS = (1.0, 8.0)
TOLERANCE = 0.05
TEST_SHARE = 0.3  # of the rows of a table, on which classifiers are tested
GRID = tuple(2.0**k for k in (-3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1))  # of the largest test power, times the median
SCALES = (0.25, 0.5, 1.0, 2.0)  # of the sum of kernels, times the median
PARTS = ("all", "first half", "second half")


def _sum(*scales: float) -> Kernel:
    return Sum([SquaredExponential(scale) for scale in scales], lengthscale="median")


@dataclass(frozen=True)
class Candidate:
    """A way to value tables.

    Attributes:
        name: Its name.
        kernel: The kernel with its length-scale, of which rules are resolved as in a settlement.
        components: The number of principal components in which rows are valued. `None`: the encoded rows.
        factor: A factor of the length-scale; `None` for the factor of `GRID` with the largest test power.
    """

    name: str
    kernel: Kernel
    components: int | None = None
    factor: float | None = 1.0


CANDIDATES = (
    Candidate("median", SquaredExponential("median")),
    Candidate("half the median", SquaredExponential("median"), factor=0.5),
    Candidate("sum of scales", _sum(*SCALES)),
    Candidate("largest test power", SquaredExponential("median"), factor=None),
    Candidate("fit on PCA-4", SquaredExponential("fit"), components=4),
    Candidate("Laplacian", Laplacian("median")),
    Candidate("rational quadratic", RationalQuadratic("median")),
)


NAMES = tuple(candidate.name for candidate in CANDIDATES)


@dataclass(frozen=True)
class Prepared:
    """The parties' tables, encoded, with a mediator that has fitted its generator."""

    schema: Schema
    codes: Sequence[torch.Tensor]
    encoding: TableEncoding
    seed: int
    size: int

    def pooled(self, components: int | None) -> tuple[Mediator, Pooled]:
        """Fit the features and the generator, and draw the pool."""

        rows = torch.cat(list(self.codes))
        width = self.encoding.transform(rows[:1]).shape[1]
        is_small = components is None or components >= width
        features = self.encoding if is_small else OfRows(PCA(components or width), self.encoding)
        repeated = repeated_numbers(self.schema, self.codes, MIN_COUNT, MIN_PARTIES)
        generator = Rows(Copula(), self.encoding, repeated)
        mediator = Mediator(features=features, generator=generator, synthetic_size=self.size)
        return mediator, mediator.pool(mediator.fit(self.codes, self.seed), self.size, self.seed)

    def pool_table(self, pooled: Pooled) -> pd.DataFrame:
        """Return the synthetic pool as a table."""

        codes = pooled.generator.sample(len(pooled.pool.points), stream_seed(self.seed, Stream.SAMPLE_POOL))
        return self.schema.to_table(codes)


def prepare(tables: Sequence[pd.DataFrame], seed: int, size: int) -> Prepared:
    """Infer the schema of the parties' tables and encode them."""

    named = {f"party {i + 1}": table for i, table in enumerate(tables)}
    masks = {name: np.ones(len(table), bool) for name, table in named.items()}
    schema, parsed = infer_schema(named, masks, min_count=MIN_COUNT, min_parties=MIN_PARTIES)
    codes = torch.cat([schema.to_codes(parsed[name]) for name in named])
    filled = schema.filled(codes, stream_seed(seed, Stream.FILL_CELLS)).split([len(table) for table in tables])
    return Prepared(schema, filled, TableEncoding(schema).fit(torch.cat(filled), seed), seed, size)


def value(mediator: Mediator, pooled: Pooled, candidate: Candidate) -> tuple[Mediator, Any, Any]:
    """Return the mediator with the candidate's kernel, the game, and the contributions."""

    mediator = replace(mediator, kernel=candidate.kernel)
    game = mediator.value(pooled)
    if candidate.factor is None:
        best = max(GRID, key=lambda factor: power(_scaled(mediator, game, factor), pooled))
        mediator = _scaled(mediator, game, best)
        game = mediator.value(pooled)
    elif candidate.factor != 1:
        mediator = _scaled(mediator, game, candidate.factor)
        game = mediator.value(pooled)
    return mediator, game, mediator.contribute(game, 0)


def power(mediator: Mediator, pooled: Pooled) -> float:
    """Return the largest difference of two contributions over its standard error: what tells parties apart."""

    game = mediator.value(pooled)
    try:
        contributions = mediator.contribute(game, 0)
    except ValueError:  # no party has a positive contribution
        return 0.0
    errors = standard_errors(game, Shapley(), contributions).differences
    assert errors is not None
    phi = contributions.phi
    return float(((phi[:, None] - phi).abs() / errors.clamp(min=1e-12)).fill_diagonal_(0).max())


def _scaled(mediator: Mediator, game: Any, factor: float) -> Mediator:
    return replace(mediator, kernel=game.kernel.with_lengthscale(factor * float(game.kernel.lengthscale)))


MIN_COUNT = TableMediator.min_count
MIN_PARTIES = 1  # as with disclose=[levels], which deals by class and by a column need


SCHEMES: dict[str, Callable[[], Scheme]] = {"gain": Gain, "stable": ShapleyFair}


def rewards(
    mediator: Mediator, pooled: Pooled, game: Any, contributions: Any, seed: int, scheme: str
) -> dict[str, Any]:
    """Draw the rewards of a scheme; without stability, if the bounds cannot be met by this pool."""

    tolerance = TOLERANCE if scheme == "gain" else 0.0
    sampling = WeightedSampling(BETAS, tolerance=tolerance)
    made, stable = SCHEMES[scheme](), True
    try:
        settlement = replace(mediator, scheme=made, sampling=sampling).reward(pooled, game, contributions, seed)
    except InfeasibleScheme:
        stable = False
        made = replace(made, stable=False)  # type: ignore[type-var]  # both schemes have this setting
        settlement = replace(mediator, scheme=made, sampling=sampling).reward(pooled, game, contributions, seed)
    return {
        "stable": stable,
        "rho": settlement.rewards.details.get("rho"),
        "rows": {f"{beta:g}": [len(settlement.drawn[i, beta].indices) for i in range(game.n)] for beta in BETAS},
        "share": {f"{beta:g}": [settlement.drawn[i, beta].share_of_gain for i in range(game.n)] for beta in BETAS},
        "indices": {(i, beta): reward.indices for (i, beta), reward in settlement.drawn.items()},
    }


def settle(
    table: Table, how: str, seed: int, part: str, names: Sequence[str] = NAMES, size: int | None = None
) -> Iterator[dict[str, Any]]:
    """Settle one deal of a table with every candidate, and yield a record of each.

    Arguments:
        table: The table.
        how: How its rows are dealt.
        seed: The seed of the deal, and of the settlement.
        part: `all`, or the half of each party's rows.
        names: The names of the candidates.
        size: The size of the pool. `None`: `pool_size`.
    """

    random = np.random.default_rng([seed, 99])
    rows = table.rows()
    held_out = random.random(len(rows)) < (TEST_SHARE if how == "mixed" else 0)
    test, tables = rows[held_out], deal(rows[~held_out], how, table.label, table.column, seed)
    if part != "all":
        tables = [each.iloc[PARTS.index(part) - 1 :: 2].reset_index(drop=True) for each in tables]
    prepared = prepare(tables, seed, size or pool_size(sum(map(len, tables))))
    kept: dict[int | None, tuple[Mediator, Pooled]] = {}
    for candidate in [each for each in CANDIDATES if each.name in names]:
        if candidate.components not in kept:
            kept[candidate.components] = prepared.pooled(candidate.components)
        mediator, pooled = kept[candidate.components]
        record = {"table": table.name, "deal": how, "seed": seed, "part": part, "candidate": candidate.name}
        try:
            mediator, game, contributions = value(mediator, pooled, candidate)
        except ValueError as error:
            yield {**record, "error": str(error)}
            continue
        errors = standard_errors(game, Shapley(), contributions)
        record |= {
            "sizes": [len(each) for each in tables],
            "lengthscale": float(game.kernel.lengthscale),
            "v": game.party_values.tolist(),
            "u": game.with_synthetic.tolist(),
            "phi": contributions.phi.tolist(),
            "alpha": contributions.alpha.tolist(),
            "differences": errors.differences.tolist() if errors.differences is not None else None,
        }
        if part == "all" and how in ("random", "same", "mixed"):
            for scheme in SCHEMES if candidate.name == "median" else ("gain",):
                try:
                    drawn = rewards(mediator, pooled, game, contributions, seed, scheme)
                except InfeasibleScheme as error:
                    yield {**record, "scheme": scheme, "error": str(error)}
                    continue
                indices = drawn.pop("indices")
                if how == "mixed":
                    pool = prepared.pool_table(pooled)
                    taken = {key: pool.iloc[chosen.numpy()] for key, chosen in indices.items()}
                    drawn["accuracy"] = accuracies(tables, taken, pool, test, table.label, random)
                yield {**record, "scheme": scheme, **drawn}
        else:
            yield record


def pool_size(rows: int) -> int:
    """Return the size of the pool for a number of valued rows."""

    return max(3000, rows)


def accuracies(
    tables: Sequence[pd.DataFrame],
    taken: dict[tuple[int, float], pd.DataFrame],
    pool: pd.DataFrame,
    test: pd.DataFrame,
    label: str,
    random: np.random.Generator,
) -> list[dict[str, Any]]:
    """Return test accuracies of classifiers of each party: own data, with its reward, with other rows, all data."""

    results = []
    everything = pd.concat(list(tables), ignore_index=True)
    for classifier in ("logistic", "forest"):
        pooled = accuracy(classifier, everything, test, label)
        for i, own in enumerate(tables):
            others = pd.concat([table for j, table in enumerate(tables) if j != i], ignore_index=True)
            before = accuracy(classifier, own, test, label)
            for beta in BETAS:
                reward = taken[i, beta]
                count = len(reward)
                real = others.iloc[random.permutation(len(others))[:count]]
                plain = pool.iloc[random.permutation(len(pool))[:count]]
                results.append(
                    {
                        "classifier": classifier,
                        "party": i,
                        "beta": beta,
                        "rows": count,
                        "own": before,
                        "pooled": pooled,
                        "reward": accuracy(classifier, pd.concat([own, reward]), test, label),
                        "real": accuracy(classifier, pd.concat([own, real]), test, label),
                        "plain": accuracy(classifier, pd.concat([own, plain]), test, label),
                    }
                )
    return results


def accuracy(classifier: str, train: pd.DataFrame, test: pd.DataFrame, label: str) -> float:
    """Train a classifier and return its accuracy; NaN, if there is one class only."""

    y = train[label].astype(str)
    if y.nunique() < 2:
        return math.nan
    x, other = train.drop(columns=label), test.drop(columns=label)
    numbers = [name for name in x if pd.api.types.is_numeric_dtype(other[name]) and not _is_bool(other[name])]
    x, other = x.copy(), other.copy()
    for part in (x, other):
        for name in x:
            if name in numbers:
                part[name] = pd.to_numeric(part[name], errors="coerce").astype(float)
            else:
                part[name] = part[name].astype(object).where(part[name].notna(), "none").astype(str)
    categories = [name for name in x if name not in numbers]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore"), categories),
    )
    model = (
        LogisticRegression(max_iter=2000) if classifier == "logistic" else RandomForestClassifier(50, random_state=0)
    )
    return float(make_pipeline(columns, model).fit(x, y).score(other, test[label].astype(str)))


def _is_bool(series: pd.Series) -> bool:
    return bool(pd.api.types.is_bool_dtype(series))
