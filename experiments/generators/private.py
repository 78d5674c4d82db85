"""Private generators side by side: sketches of cgm, an embedding by random features, and peers that are installed.

    python -m experiments.generators.private
    python -m experiments.generators.private --data digits --methods codes label --epsilons 1 3 100
    python -m experiments.generators.private --report

Each table is divided into public rows, from which all ranges come, rows to protect, and test rows. A method sees the
rows to protect once, with ε and δ = 1e-5, and draws as many rows with labels. They are compared with the test rows by
the maximum mean discrepancy, and by the accuracy on test rows of a support vector machine that was trained on them.
Each measurement is appended to `runs.jsonl`; those that are there are not repeated. `aim` and `mst` need the package
`smartnoise-synth`, in an environment of its own whose Python the variable `PEERS_PYTHON` names; without it, they are
left out, with a warning.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from cgm.privacy.accounting import gaussian_mu
from cgm.privacy.pool import ParticleFit
from cgm.privacy.schema import SketchSchema, propose_schema
from cgm.privacy.sketch import Sketch
from cgm.utils.files import write_whole
from cgm.utils.shown import counted
from cgm.utils.text import markdown_table
from cgm.valuation.kernels import SquaredExponential
from cgm.valuation.mmd import cross_sums

DELTA = 1e-5
LABEL = "label"
LANDMARKS = 300
BINS = 16  # of numbers, for methods that need categories
FEATURES = 1000  # random ones of the embedding with a network
STEPS = 1500  # of its training
REAL = "real"
FOLDER = Path("outputs/generators/private")


class Data(NamedTuple):
    """Rows of a table: numbers, and a label of text."""

    public: pd.DataFrame
    private: pd.DataFrame
    test: pd.DataFrame


def breast_cancer(seed: int) -> Data:
    """Return ten columns of the breast cancer data of scikit-learn, 569 rows, two classes."""

    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True, as_frame=True)
    return _divided(x.iloc[:, :10].assign(label=np.where(y == 1, "benign", "malignant")), 60, 120, seed)


def digits(seed: int) -> Data:
    """Return the digits of scikit-learn, 1,797 rows, ten classes, as 16 sums of 2 x 2 pixels."""

    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    sums = x.reshape(-1, 4, 2, 4, 2).sum((2, 4)).reshape(len(x), 16)
    table = pd.DataFrame(sums, columns=[f"p{k}" for k in range(16)])
    return _divided(table.assign(label=[f"digit {k}" for k in y]), 200, 400, seed)


def credit_card(seed: int) -> Data:
    """Return eight columns of the credit card data, 13,000 rows, whose label is whether the amount is above 22."""

    path = Path(os.environ.get("CGM_DATA", "data")) / "creditcard" / "creditcard.csv.gz"
    table = pd.read_csv(path).sample(13_000, random_state=seed)
    label = np.where(table["Amount"] > 22, "large", "small")
    return _divided(table[["V1", "V2", "V3", "V5", "V6", "V7", "V8", "V20"]].assign(label=label), 1000, 2000, seed)


def _divided(table: pd.DataFrame, public: int, test: int, seed: int) -> Data:
    """Divide a table at random; numbers are clipped to the range of the public rows."""

    table = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    numbers = table.columns.drop(LABEL)
    seen = table.iloc[:public]
    table[numbers] = table[numbers].clip(seen[numbers].min(), seen[numbers].max(), axis=1)
    return Data(table.iloc[:public], table.iloc[public + test :], table.iloc[public : public + test])


DATA: dict[str, Callable[[int], Data]] = {"breast_cancer": breast_cancer, "digits": digits, "credit_card": credit_card}


def public_schema(data: Data, label: str | None) -> SketchSchema:
    """Return the schema that follows from public rows."""

    return propose_schema(
        data.public, None, SquaredExponential("median"), LANDMARKS, delta=DELTA, categorical=[LABEL], label=label
    )


def sketched(data: Data, epsilon: float, seed: int, label: str | None) -> pd.DataFrame:
    """Draw rows from a pool that was fitted to a sketch."""

    sketch = Sketch.draw(public_schema(data, label), data.private, "private", epsilon)
    particles = ParticleFit(draws=2).fit([sketch], seed)
    return sketch.schema.decode(particles.pool(len(data.private)))


def random_features(data: Data, epsilon: float, seed: int) -> pd.DataFrame:
    """Draw rows by a network that was fitted to one noisy mean of random Fourier features for each class.

    The idea of DP-MERF (Harder, Adamczewski & Park, 2021), in a few lines of our own, with the same schema and length-
    scale as sketches. Features have the norm 1, so that another row changes the sum by 2 at most.
    """

    schema = public_schema(data, LABEL)
    where = schema.label_slice
    x = schema.encode(data.private)
    others, classes = torch.cat([x[:, : where.start], x[:, where.stop :]], 1), x[:, where].argmax(1)
    random = torch.Generator().manual_seed(seed)
    d, count = others.shape[1], where.stop - where.start
    frequencies = torch.randn(d, FEATURES // 2, generator=random).double() / schema.kernel.numeric_lengthscale

    def embed(z: torch.Tensor) -> torch.Tensor:
        phases = z @ frequencies
        return torch.cat([phases.cos(), phases.sin()], 1) / math.sqrt(FEATURES // 2)

    unit = torch.nn.functional.one_hot(classes, count).double()
    sums = unit.T @ embed(others)
    sums += 2 / gaussian_mu(epsilon, DELTA) * torch.randn(sums.shape, dtype=torch.float64)  # noise of a benchmark
    target = sums / len(x)
    assert schema.landmarks is not None
    masses = (target @ embed(schema.landmarks).mean(0)).clamp(min=1e-6)
    shares = masses / masses.sum()
    low, high = schema.corners()
    low, high = (torch.cat([bound[: where.start], bound[where.stop :]]) for bound in (low, high))
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Linear(d + count, 100), torch.nn.ReLU(), torch.nn.Linear(100, 100), torch.nn.ReLU(),
        torch.nn.Linear(100, d), torch.nn.Sigmoid(),
    ).double()  # fmt: skip
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)

    def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        drawn = torch.multinomial(shares, n, replacement=True)
        code = torch.nn.functional.one_hot(drawn, count).double()
        return low + (high - low) * network(torch.cat([torch.randn(n, d).double(), code], 1)), drawn

    for _ in range(STEPS):
        optimiser.zero_grad()
        z, drawn = draw(500)
        mean = torch.nn.functional.one_hot(drawn, count).double().T @ embed(z) / len(z)
        (mean - target).square().sum().backward()
        optimiser.step()
    with torch.no_grad():
        z, drawn = draw(len(x))
    code = schema.scales[LABEL] * torch.nn.functional.one_hot(drawn, count).double()
    return schema.decode(torch.cat([z[:, : where.start], code, z[:, where.start :]], 1))


def marginals(data: Data, epsilon: float, seed: int, name: str) -> pd.DataFrame:
    """Draw rows by a method of SmartNoise for tables of categories, `mst` or `aim`, of numbers in public bins.

    Raises:
        ImportError: If it is not installed in the environment of the variable `PEERS_PYTHON`.
    """

    numbers = list(data.private.columns.drop(LABEL))
    edges = {c: np.linspace(data.public[c].min(), data.public[c].max(), BINS + 1) for c in numbers}
    table = data.private.copy()
    for c in numbers:
        table[c] = np.clip(np.searchsorted(edges[c], table[c], side="right") - 1, 0, BINS - 1)
    program = [os.environ.get("PEERS_PYTHON", sys.executable), str(Path(__file__).with_name("peers.py"))]
    done = subprocess.run(
        [*program, name, str(epsilon), str(DELTA), str(seed)],
        input=table.to_csv(index=False),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    if done.returncode:
        raise ImportError(done.stderr.strip().split("\n")[-1])
    sample = pd.read_csv(io.StringIO(done.stdout), dtype={LABEL: str})
    random = np.random.default_rng(seed)
    for c in numbers:
        k = sample[c].to_numpy(dtype=int)
        sample[c] = edges[c][k] + random.random(len(k)) * (edges[c][k + 1] - edges[c][k])
    return sample[[*numbers, LABEL]]


METHODS: dict[str, Callable[[Data, float, int], pd.DataFrame]] = {
    REAL: lambda data, epsilon, seed: data.private,
    "codes": lambda data, epsilon, seed: sketched(data, epsilon, seed, None),
    "label": lambda data, epsilon, seed: sketched(data, epsilon, seed, LABEL),
    "random_features": random_features,
    "mst": lambda data, epsilon, seed: marginals(data, epsilon, seed, "mst"),
    "aim": lambda data, epsilon, seed: marginals(data, epsilon, seed, "aim"),
}
TITLES = {
    REAL: "the rows themselves",
    "codes": "sketch, the class by its code",
    "label": "sketch with `label=`",
    "random_features": "random features and a network (idea of DP-MERF)",
    "mst": "MST (SmartNoise)",
    "aim": "AIM (SmartNoise)",
}


def measure(data: Data, sample: pd.DataFrame) -> dict[str, float]:
    """Compare rows with the test rows: the MMD, and the accuracy of a support vector machine."""

    from sklearn.svm import SVC

    schema = public_schema(data, None)
    numbers = list(data.private.columns.drop(LABEL))
    low, high = data.public[numbers].min(), data.public[numbers].max()
    sample = sample.assign(**sample[numbers].astype(float).clip(low, high, axis=1))
    some = sample.sample(min(len(sample), 5000), random_state=0)
    a, b = schema.encode(some), schema.encode(data.test)
    n, m = len(a), len(b)
    aa, bb, ab = (float(cross_sums(schema.kernel, x, y).sum()) for x, y in ((a, a), (b, b), (a, b)))
    mmd2 = (aa - n) / (n * (n - 1)) + (bb - m) / (m * (m - 1)) - 2 * ab / (n * m)
    centre, scale = data.public[numbers].mean(), data.public[numbers].std()
    if some[LABEL].nunique() < 2:
        accuracy = float((data.test[LABEL] == some[LABEL].iloc[0]).mean())
    else:
        machine = SVC().fit((some[numbers] - centre) / scale, some[LABEL].astype(str))
        accuracy = float(machine.score((data.test[numbers] - centre) / scale, data.test[LABEL].astype(str)))
    return {"mmd": math.sqrt(max(mmd2, 0.0)), "accuracy": accuracy}


def run(names: list[str], methods: list[str], epsilons: list[float], seeds: int, folder: Path) -> None:
    """Measure what is not measured yet."""

    path = folder / "runs.jsonl"
    done = _read(path)
    keys = {(each["data"], each["method"], each["epsilon"], each["seed"]) for each in done}
    for name in names:
        for seed in range(seeds):
            data = DATA[name](seed)
            for method in methods:
                for epsilon in epsilons if method != REAL else [math.inf]:
                    if (name, method, str(epsilon), seed) in keys:
                        continue
                    start = time.perf_counter()
                    try:
                        with torch.random.fork_rng():
                            sample = METHODS[method](data, epsilon, seed)
                    except ImportError as error:
                        logging.warning("%s: not installed (%s)", method, error)
                        continue
                    seconds = time.perf_counter() - start
                    entry = {"data": name, "method": method, "epsilon": str(epsilon), "seed": seed}
                    done.append({**entry, **measure(data, sample), "seconds": seconds, "rows": len(data.private)})
                    print(done[-1], flush=True)
                    write_whole(path, "".join(json.dumps(each) + "\n" for each in done).encode())


def _read(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def report(folder: Path) -> str:
    """Return tables of all measurements, means over seeds, Markdown."""

    frame = pd.DataFrame(_read(folder / "runs.jsonl"))
    lines = ["# Private generators", "", (__doc__ or "").split("\n\n")[2].replace("\n", " "), ""]
    for name, of_data in frame.groupby("data", sort=False):
        lines += [f"## {name}, {of_data['rows'].iloc[0]:,} rows, {counted(of_data['seed'].nunique(), 'split')}", ""]
        rows = []
        for method in METHODS:
            for epsilon, of_run in of_data[of_data["method"] == method].groupby("epsilon", sort=False):
                means = of_run[["mmd", "accuracy", "seconds"]].mean()
                shown = "–" if method == REAL else epsilon.removesuffix(".0")
                seconds = "–" if method == REAL else f"{means['seconds']:.0f}"
                rows.append([TITLES[method], shown, f"{means['mmd']:.3f}", f"{100 * means['accuracy']:.1f} %", seconds])
        lines += [*markdown_table(["method", "ε", "MMD", "accuracy", "seconds"], rows).splitlines(), ""]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Run the program."""

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--data", nargs="+", choices=DATA, default=[*DATA])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=[*METHODS])
    parser.add_argument("--epsilons", nargs="+", type=float, default=[1.0, 3.0])
    parser.add_argument("--seeds", type=int, default=3, help="the number of splits")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--report", action="store_true", help="write README.md of what is measured, and nothing else")
    given = parser.parse_args(arguments)
    if not given.report:
        run(given.data, given.methods, given.epsilons, given.seeds, given.folder)
    write_whole(given.folder / "README.md", report(given.folder).encode())


if __name__ == "__main__":
    main()
