"""The report of the reproduction, tables and figures, from the records of its runs alone.

The same records give the same bytes.
"""

from collections.abc import Mapping
from pathlib import Path

from cgm.figures import style
from cgm.utils.files import write_whole
from cgm.utils.text import markdown_table
from experiments.paper import claims, comparison, published, quality, tables
from experiments.paper.divergence import divergences
from experiments.paper.figures import draw_correlations, draw_schemes
from experiments.paper.plan import BASE
from experiments.paper.records import Records, all_results, read_all
from experiments.paper.schemes import groups_of_schemes, schemes, stable_bounds
from experiments.paper.text import OF_THE_PAPER
from experiments.text import DATASETS, SPLITS, distinct, names

FIG1 = "rewards_of_party_1.png"  # of a run
SECTIONS = (
    comparison.fig2,
    tables.contributions,
    comparison.role_of_beta,
    comparison.downstream,
    tables.increasing,
    tables.incentives,
    tables.credit_ratings,
    tables.time_and_memory,
    tables.warnings,
)


def write_report(folder: str | Path) -> Path:
    """Write README.md, fig1.png, fig2.png and schemes.png from the records in `runs` and `choices`.

    Arguments:
        folder: The folder of the reproduction.

    Returns:
        The path of README.md.
    """

    folder = Path(folder)
    runs, choices = read_all(folder)
    for name in ("fig1.png", "fig2.png", "fig2.pdf", "schemes.png", "schemes.pdf"):
        (folder / name).unlink(missing_ok=True)  # of other records

    first = _run_of_fig1(folder, runs)
    if first is not None:
        write_whole(folder / "fig1.png", (folder / first / FIG1).read_bytes())
    if runs.groups:
        style.save(draw_correlations(runs.groups), folder, "fig2")
    by_scheme = groups_of_schemes(choices)
    if by_scheme:
        style.save(draw_schemes(by_scheme), folder, "schemes")

    parts = [*_head(runs), *_missing(runs, choices)]
    if runs.groups:
        parts += claims.claims(runs.groups)
        parts += _fig1(first) if first is not None else []
        parts += [part for section in SECTIONS for part in section(runs.groups)]
    parts += divergences(folder, runs.groups)
    evaluated = quality.read_generators(folder)
    parts += quality.generators(evaluated)
    parts += quality.bandwidths(evaluated, choices)
    parts += schemes(by_scheme)
    parts += stable_bounds([runs, *choices.values()])
    parts += comparison.features(runs.groups, choices)
    parts += comparison.choices(choices)
    parts += _more_figures(folder, runs)
    write_whole(folder / "README.md", ("\n\n".join(parts) + "\n").encode())

    return folder / "README.md"


def _head(runs: Records) -> list[str]:
    """Introduce the report, and list the sizes and versions of the runs."""

    parts = [
        "# The paper's experiments, reproduced",
        "Section 6 of *Incentivizing Collaboration in Machine Learning via Synthetic Data Rewards* (Tay, Xu, Foo, Low, "
        "AAAI 2022), run with cgm. This page and its figures are written by `python -m experiments.paper` from records "
        "alone: those in `runs`, `choices` and `generators`, and `divergence.json`.",
        "Published numbers are those of the paper where it has them (accuracies of the SVM, the share of points that "
        "raise v), and otherwise those of a notebook that its authors published in 2021, which may be older than the "
        f"paper. A difference of correlations above {published.LARGE} is in bold, with a remark below its table. "
        "Numbers are means. The first ± is the standard error over β (1, 2, 4, 8), as in the paper, or over parties in "
        "the table of β; it is averaged over seeds. The second ± is the standard error over seeds. Metrics are "
        "negated: higher is better.",
    ]
    rows = [
        [
            *names(setting),
            distinct(f"{result.n_parties} × {result.points_per_party[0]:,}" for result in group),
            distinct(f"{result.synthetic_size:,}" for result in group),
            distinct(f"{result.t:,}" for result in group),
            distinct(str(result.dimensions) for result in group),
            str(len(group)),
        ]
        for setting, group in runs.groups.items()
    ]
    if rows:
        versions = sorted({tuple(sorted(result.versions.items())) for result in all_results(runs.groups)})
        made_by = "; or ".join(", ".join(f"{name} {number}" for name, number in each) for each in versions)
        head = ["dataset", "split", "parties' points", "|G|", "t", "d", "seeds"]
        parts += [markdown_table(head, rows), f"The runs were computed with {made_by}."]
    return parts


def _missing(runs: Records, choices: Mapping[str, Records]) -> list[str]:
    """List the runs that are missing or broken."""

    broken = runs.broken | {f"choices/{n}": why for own in choices.values() for n, why in own.broken.items()}
    lines = [f"- `{name}`: {' '.join(why.split())}" for name, why in broken.items()]
    for dataset in OF_THE_PAPER:
        lines += [
            f"- {DATASETS[dataset]}, {SPLITS[split]}: no complete run"
            for split in SPLITS
            if (dataset, split) not in runs.groups
        ]
    if choices and not (BASE in choices and choices[BASE].groups):
        lines.append(f"- `choices/{BASE}`: no complete run to compare the other choices with")
    if not lines:
        return []
    note = "The same command, given again, resumes what was interrupted; without `datasets` it runs all of them."
    return ["## What is missing", f"{note}\n\n" + "\n".join(lines)]


def _fig1(run: str) -> list[str]:
    """Show the rewards of party 1."""

    dataset, split = Path(run).name.split("-")[:2]
    where = ", ".join(names((dataset, split)))
    note = "" if dataset == "mnist" else " There are no records of MNIST, which Fig. 1 of the paper shows."
    return [
        "## Fig. 1: rewards of party 1",
        f"Party 1's own points and its rewards for each β: {where} split, seed 0.{note}",
        "![Rewards of party 1](fig1.png)",
    ]


def _more_figures(folder: Path, runs: Records) -> list[str]:
    """Link the figures of the runs."""

    lines = []
    for setting, folders in runs.folders.items():
        for run in folders:
            files = sorted(path.name for path in (folder / run).glob("*.png"))
            if files:
                links = ", ".join(f"[{Path(file).stem.replace('_', ' ')}]({run}/{file})" for file in files)
                lines.append(f"- {', '.join(names(setting))}: {links}")
    return ["## More figures", "\n".join(lines)] if lines else []


def _run_of_fig1(folder: Path, runs: Records) -> str | None:
    """Find the run for Fig. 1: MNIST, equal disjoint, or otherwise the first that has the figure."""

    settings = sorted(runs.folders, key=lambda setting: setting != ("mnist", "equal_disjoint"))  # a stable sort
    candidates = [run for setting in settings for run in runs.folders[setting]]
    return next((run for run in candidates if (folder / run / FIG1).is_file()), None)
