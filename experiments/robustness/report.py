"""The report of the study: findings, gains, remedies, prices, from the records alone.

The same records give the same bytes.
"""

from collections.abc import Sequence
from pathlib import Path

from cgm.figures import style
from cgm.utils.files import write_whole
from cgm.utils.text import csv_text, markdown_table
from experiments.robustness import findings, tables
from experiments.robustness.features import feature_table
from experiments.robustness.figures import draw_gains, draw_schemes
from experiments.robustness.plan import ATTACKS
from experiments.robustness.records import Gain, Records, compared, on_variants, read_records, versions
from experiments.text import distinct, names

FIGURES = {"gains_value": "attack_gain_value", "gains_alpha": "attack_gain_alpha"}
SCHEMES = "gains_schemes"
COLUMNS = ("variant", "attacker", "attack", "dataset", "split", "seed", "party", "alpha", "reward", "value", "others")
INFEASIBLE = "no reward values satisfy their bounds"  # in the message of the error
DESCRIPTIONS = {
    "duplicate": "hands in each row twice",
    "split": "appears as two parties, each with half of its rows",
    "clone": "adds the rows of the strongest other party, with jitter, to its own",
    "noise": "hands in uniform noise, within the ranges of its features, instead of its rows",
    "free_ride": "hands in a tenth of its rows",
    "poison": "moves a fifth of its rows by 3 standard deviations, to where there is no data",
}


INTRODUCTION = (
    "# Can the scheme be gamed?",
    "One party hands in something else than its data. This page is written by `python -m experiments.robustness` from "
    "the records in `honest`, `attacks` and `features` alone; `gains.csv` has the gains of each run. "
    "[Attacks](../../docs/how_to/attacks.md) explains the attacks and the gains. The attacker is the **weakest** or "
    "the **strongest** party, that with the smallest or the largest honest Shapley value α of the same dataset, split "
    "and seed.",
)


def write_report(folder: str | Path) -> Path:
    """Write README.md, gains.csv and the figures from the records in `honest` and `attacks`.

    Arguments:
        folder: The folder of the study.

    Returns:
        The path of README.md.
    """

    folder = Path(folder)
    records = read_records(folder)
    for name in (*FIGURES, SCHEMES):
        for kind in ("png", "pdf"):
            (folder / f"{name}.{kind}").unlink(missing_ok=True)  # of other records
    if drawn := on_variants(records.gains):
        for name, number in FIGURES.items():
            style.save(draw_gains(drawn, number), folder, name)
    if schemes := compared(records.gains):
        style.save(draw_schemes(schemes), folder, SCHEMES)

    parts = list(INTRODUCTION)
    gains = (tables.base_gains, tables.scheme_gains, tables.variant_gains)
    for section in (findings.findings, *gains, tables.remedies, tables.honest_runs, feature_table, _runs):
        parts += section(records)
    parts += [*_limits(), *_missing(records)]
    write_whole(folder / "gains.csv", csv_text(COLUMNS, map(_cells, records.gains)).encode())
    write_whole(folder / "README.md", ("\n\n".join(parts) + "\n").encode())
    return folder / "README.md"


def _runs(records: Records) -> list[str]:
    """Say what was run."""

    parts = ["## What was run", markdown_table(["attack", "the attacker"], [[k, DESCRIPTIONS[k]] for k in ATTACKS])]
    base = [run for run in records.honest if run.variant == "base"]
    rows = []
    for setting in dict.fromkeys(run.setting for run in base):
        own = [run.result for run in base if run.setting == setting]
        order = [sorted(range(r.n_parties), key=r.contributions.alpha.__getitem__) for r in own]
        rows.append(
            [
                *names(setting),
                distinct(r.generator for r in own),
                distinct(r.features for r in own),
                distinct(f"{r.n_parties} × {r.points_per_party[0]:,}" for r in own),
                distinct(f"{r.synthetic_size:,}" for r in own),
                str(len(own)),
                distinct(str(each[0] + 1) for each in order),
                distinct(str(each[-1] + 1) for each in order),
            ]
        )
    if rows:
        head = ["dataset", "split", "generator", "features", "parties' points", "|G|", "seeds", "weakest", "strongest"]
        results = [*(run.result for run in records.honest), *(run.result for run in records.features)]
        results += records.attacked
        hours = sum(sum(result.seconds.values()) for result in results) / 3600
        runs = f"{len(records.honest)} honest and {len(records.attacked)} attacked runs"
        runs += f", {len(records.features)} with other features" if records.features else ""
        runs += f"; all stations together took {hours:.1f} hours"
        parts += [markdown_table(head, rows), f"{runs}. Computed with {'; or '.join(versions(results))}."]
    return parts


def _limits() -> list[str]:
    lines = (
        "One attacker at a time, with one strength of each attack, who does not adapt to the scheme. That an attack "
        "fails here does not mean that a better one would.",
        "Generators of credit ratings (the true mixture), and of MNIST and CIFAR-10 (trained beforehand), do not "
        "depend on the parties' data: attacks change the parties' part of T and the length-scale there, but not the "
        "pool. Only for credit card and digits do they change the pool as well. Attacks on features are not measured.",
        "The true value compares with the reference of the variant. Where `reference` is changed it is another measure "
        "than in the base, so that differences between these rows are differences of two measures.",
        "α is divided by the largest φ: if an attacker lowers the φ of the strongest party, its own α rises, and where "
        "the strongest attacks, its α can rise only as a sum over identities. Gains in r of `split` are sums of two "
        "rewards that may consist of the same points; the true value counts a point once.",
        "The length-scale is fitted to the attacked data: smaller or noisier parties need a larger one. Therefore even "
        "`contribution=pointwise`, whose φ in total does not depend on how rows are split among parties, reacts to "
        "`split`.",
        "A remedy was chosen as the best of eleven on the same runs that show its gain, so that this gain is too small "
        "on average. Variants are not combined.",
        "What the attacker saves by keeping its data to itself is no part of a gain, nor is the accuracy of a "
        "downstream task.",
    )
    return ["## What this does not show", "\n".join(f"- {line}" for line in lines)]


def _missing(records: Records) -> list[str]:
    """List the runs without rewards, and those that are missing or broken."""

    reasons = {name: " ".join(why.split()).partition(";")[0] for name, why in sorted(records.broken.items())}
    infeasible = [name for name, why in reasons.items() if INFEASIBLE in why]
    parts = []
    if infeasible:
        parts += [
            "## Without rewards",
            "In these runs no rewards satisfy their bounds, even with twice as many points in G. They are left out of "
            "the means, and a variant that lacks a run is no remedy.",
            "\n".join(f"- `{name}`" for name in infeasible),
        ]
    lines = [f"- `{name}`: {why}" for name, why in reasons.items() if name not in infeasible]
    if lines:
        note = "The same command, given again, resumes what was interrupted. Means are over the runs that are there."
        parts += ["## What is missing", note, "\n".join(lines)]
    return parts


def _cells(gain: Gain) -> Sequence[str]:
    numbers = (f"{x:.6g}" for x in (gain.alpha, gain.reward, gain.value, gain.others))
    return gain.variant, gain.attacker, gain.attack, *gain.setting, str(gain.seed), str(gain.party + 1), *numbers
