"""The report of the study: tables and figures, from the records alone. The same records give the same bytes."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cgm.figures import style
from cgm.utils.files import write_whole
from cgm.utils.text import markdown_table
from experiments.privacy.study import ALPHA_DRAWS, ALPHA_EPSILONS, ALPHA_POINTS, DATASETS, EPSILONS, RULES, SIZES
from experiments.text import NONE, dataset_name

Line = dict[str, Any]
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # of Okabe and Ito's palette, by dataset
STYLES: dict[int, Literal["-", ":"]] = {1000: ":", 5000: "-"}  # of lines, by the number of points of a party
FIGURES = ("values", "accuracy")


def write_report(runs: Path, folder: Path) -> Path:
    """Write README.md and the figures from the records.

    Arguments:
        runs: The file of the records.
        folder: The folder of the report.

    Returns:
        The path of README.md.
    """

    lines = [json.loads(line) for line in runs.read_text(encoding="utf-8").splitlines()] if runs.is_file() else []
    style.save(draw_values(lines), folder, FIGURES[0])
    style.save(draw_accuracy(lines), folder, FIGURES[1])
    for name in FIGURES:
        (folder / f"{name}.pdf").unlink(missing_ok=True)
    text = "\n\n".join(
        [*_head(lines), *_findings(lines), *_values(lines), *_accuracy(lines), *_alpha(lines), *_price(lines), *_how()]
    )
    write_whole(folder / "README.md", (text + "\n").encode())
    return folder / "README.md"


def select(lines: Iterable[Line], part: str, **settings: Any) -> list[Line]:
    """Return the records of a part with some settings."""

    return [
        line for line in lines if line["part"] == part and all(line[name] == value for name, value in settings.items())
    ]


def mean(lines: Sequence[Line], number: Callable[[Line], Sequence[float] | None]) -> float | None:
    """Return the mean of a number over parties and records; `None` if there is none."""

    found = [x for line in lines for x in number(line) or () if x is not None]
    return fmean(found) if found else None


def _cell(x: float | None, form: str) -> str:
    return NONE if x is None else format(x, form).replace("-", "−")


def _of(name: str) -> Callable[[Line], Sequence[float] | None]:
    return lambda line: line.get(name)


def _errors(name: str, exact: str) -> Callable[[Line], Sequence[float] | None]:
    return lambda line: [abs(a - b) for a, b in zip(line[name], line[exact], strict=True)]


def _share(line: Line) -> Sequence[float]:
    return [x / line["grand"] for x in line["with_reward"]]


def _head(lines: Sequence[Line]) -> list[str]:
    runs = select(lines, "runs")
    said = []
    for points in SIZES:
        counts = [len({each["seed"] for each in runs if (each["dataset"], each["points"]) == (name, points)})
                  for name in DATASETS]  # fmt: skip
        several = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
        said.append(f"{several} for {points:,} points a party")
    return [
        "# What privacy costs",
        "Five parties share each of the paper's four datasets (`split=equal_disjoint`). The mediator sketches each "
        "party once with ε and δ = 10⁻⁵; all that others receive follows from the sketches (`privacy=release`, "
        "[Settling without anyone's rows](../../docs/how_to/private.md#when-the-mediator-holds-the-rows)). This page "
        f"is written by `python -m experiments.privacy` from `runs.jsonl` alone. Seeds: {', '.join(said)}.",
    ]


def _findings(lines: Sequence[Line]) -> list[str]:
    """Return what the tables say, in sentences."""

    found = []
    alpha = {rule: select(lines, "alpha", rule=rule) for rule in RULES}
    if all(len(each) == len(DATASETS) for each in alpha.values()):
        worst = {rule: max(each["errors"]["1"]["both"] for each in lines) for rule, lines in alpha.items()}
        features = max(each["features"] for each in alpha["fit"])
        found.append(
            f"With ε = 1 and {ALPHA_POINTS:,} points a party, α errs by at most {worst['median']:.4f} with the median "
            f"length-scale, and by up to {worst['fit']:.3f} with `fit`, where the features alone err by up to "
            f"{features:.3f}."
        )
    for points in SIZES:

        def accuracy(name: str, epsilon: Any = "any", points: int = points) -> float | None:
            """Return the mean over the four datasets; `None` if one is missing."""

            chosen = {} if epsilon == "any" else {"epsilon": epsilon}
            each = [mean(select(lines, "runs", dataset=d, points=points, **chosen), _of(name)) for d in DATASETS]
            return None if None in each else fmean(x for x in each if x is not None)

        own, one, three, free = accuracy("own"), *(accuracy("accuracy", epsilon) for epsilon in (1.0, 3.0, None))
        if own is not None and one is not None and three is not None and free is not None:
            said = f"{100 * (one - free):+.1f} at ε = 1 and {100 * (three - free):+.1f} at ε = 3".replace("-", "−")
            found.append(
                f"{points:,} points a party: rewards of ε = 1 add {100 * (one - own):.1f} points of accuracy to an SVM "
                "of own data, mean over the four datasets. Compared with rewards without privacy, whose labels are "
                f"those of all parties, it is {said}."
            )
        public = accuracy("with_public", 1.0)
        if public is not None and one is not None and public > one:
            found.append(
                f"{points:,} points a party: labelled public rows help a classifier more than rewards do "
                f"({100 * public:.0f} against {100 * one:.0f} %, means over the four datasets): who has many of them "
                "does not need rewards for this task."
            )
    return ["\n".join(f"- {each}" for each in found)] if found else []


def _values(lines: Sequence[Line]) -> list[str]:
    rows = []
    for name in DATASETS:
        for points in SIZES:
            chosen = [select(lines, "runs", dataset=name, points=points, epsilon=epsilon) for epsilon in EPSILONS]
            cells = {
                "error of v(D_i), % of it": [_cell(_percent(mean(each, _relative)), ".2f") for each in chosen],
                "error of α / as stated": [_pair(each) for each in chosen],
                "r_i / v(D_i ∪ G_i), % of v(N)": [_rewards(each) for each in chosen],
            }
            rows += [[dataset_name(name), f"{points:,}", title, *row] for title, row in cells.items() if any(chosen)]
    heads = ["dataset", "points", "", *("no privacy" if e is None else f"ε = {e:g}" for e in EPSILONS)]
    return [
        "## Values, contributions, rewards",
        "Means over parties and seeds, length-scale `median` of the public rows. Errors are distances from what the "
        "rows themselves give with the same pool; beside them the standard errors that the record states. "
        "v(D_i ∪ G_i) is measured with all rows. Without privacy, the pool is that of `mean_embedding` on all rows.",
        markdown_table(heads, rows) if rows else "No runs.",
        f"![values]({FIGURES[0]}.png)",
    ]


def _pair(lines: Sequence[Line]) -> str:
    errors = mean(lines, lambda line: _errors("alpha", "alpha_exact")(line) if "alpha_exact" in line else None)
    return NONE if errors is None else f"{errors:.4f} / {_cell(mean(lines, _of('alpha_stderr')), '.4f')}"


def _rewards(lines: Sequence[Line]) -> str:
    promised = mean(lines, lambda line: [x / line["grand"] for x in line["reward"]])
    return f"{_cell(_percent(promised), '.1f')} / {_cell(_percent(mean(lines, _share)), '.1f')}"


def _percent(x: float | None) -> float | None:
    return None if x is None else 100 * x


def _relative(line: Line) -> Sequence[float] | None:
    if "values_exact" not in line:
        return None
    return [abs(a - b) / abs(b) for a, b in zip(line["value"], line["values_exact"], strict=True)]


def _accuracy(lines: Sequence[Line]) -> list[str]:
    rows = []
    for name in DATASETS:
        for points in SIZES:
            own = mean(select(lines, "runs", dataset=name, points=points), _of("own"))
            public = mean(select(lines, "runs", dataset=name, points=points, epsilon=1.0), _of("with_public"))
            cells = [
                _cell(mean(select(lines, "runs", dataset=name, points=points, epsilon=epsilon), _of("accuracy")), ".3f")
                for epsilon in EPSILONS
            ]
            if own is not None:
                rows.append([dataset_name(name), f"{points:,}", _cell(own, ".3f"), *cells, _cell(public, ".3f")])
    heads = ["dataset", "points", "D_i alone", *("no privacy" if e is None else f"ε = {e:g}" for e in EPSILONS)]
    return [
        "## Accuracy of an SVM on D_i ∪ G_i",
        "Means over parties and seeds, tested on held-out rows that are not public. Points of G_i are labelled by a "
        "vote of the five nearest public rows, which every party has; without privacy, by those of all parties. So the "
        "last column is what a fair comparison needs: D_i with the labelled public rows themselves, in place of a "
        "reward. At most 5,000 points train a machine.",
        markdown_table([*heads, "D_i ∪ public rows"], rows) if rows else "No runs.",
        f"![accuracy]({FIGURES[1]}.png)",
    ]


def _alpha(lines: Sequence[Line]) -> list[str]:
    rows = []
    for name in DATASETS:
        for rule in RULES:
            for line in select(lines, "alpha", dataset=name, rule=rule):
                both = [f"{line['errors'][f'{e:g}']['noise']:.4f} / {line['errors'][f'{e:g}']['both']:.4f}"
                        for e in ALPHA_EPSILONS]  # fmt: skip
                rows.append(
                    [dataset_name(name), f"{line['lengthscale']:.3g} ({rule})", f"{line['dimensions']:,}",
                     f"{100 * line['missed']:.2g} %", f"{line['features']:.4f}", *both]
                )  # fmt: skip
    heads = ["dataset", "length-scale", "features", "missed", "features alone", *(f"ε = {e:g}" for e in ALPHA_EPSILONS)]
    return [
        "## Errors of α, apart",
        f"Root mean square errors of α over parties and {ALPHA_DRAWS} draws of noise, {ALPHA_POINTS:,} points a party, "
        "1,024 landmarks. *Features alone*: against the rows, without noise. Then *noise* (against the features "
        "without noise) / *both* (against the rows). *Missed*: the share of the weight of a point that the features "
        "miss. `fit` is the smallest length-scale with v ≥ 0 for public rows that are split as the parties' are.",
        markdown_table(heads, rows) if rows else "No runs.",
    ]


def _price(lines: Sequence[Line]) -> list[str]:
    rows = []
    for name in DATASETS:
        priced = {e: select(lines, "price", dataset=name, epsilon=e) for e in EPSILONS if e is not None}
        if any(priced.values()):
            exact = mean([line for each in priced.values() for line in each], _of("values_exact"))
            values = [_cell(mean(each, _of("value")), ".4f") for each in priced.values()]
            rows.append([dataset_name(name), *values, _cell(exact, ".4f")])
    heads = ["dataset", *(f"ε = {e:g}" for e in EPSILONS if e is not None), "rows themselves"]
    return [
        "## The price of privacy",
        "With `privacy.price=bias`, the bias of the noise is left in the values: v(D_i), mean over parties and seeds, "
        "1,000 points a party. It falls with privacy in expectation, D c² (2 / (N t) − 1 / N²) for one party; each run "
        "has a pool of its own, by which values differ as well.",
        markdown_table(heads, rows) if rows else "No runs.",
    ]


def _how() -> list[str]:
    return [
        "## How",
        "Half of the held-out rows are public: columns are standardised by them, and they are the landmarks. Images "
        "are valued in the 8 features of the encoder that comes with cgm, which was trained on the training images: it "
        "stands for one that was trained on public images, and the guarantee does not cover it. |G| is as many points "
        "as the parties have, β = 4, tolerance 0.05. A run cannot be repeated, since the noise is that of the "
        "operating system; with other seeds and noise, the numbers differ by about their stated errors.",
    ]


def draw_values(lines: Sequence[Line]) -> Figure:
    """Draw errors of values and of α against ε."""

    parts = (
        (r"error of $v(D_i)$, share of it", _relative),
        (r"error of $\alpha$", lambda line: _errors("alpha", "alpha_exact")(line) if "alpha_exact" in line else None),
    )
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for ax, (title, number) in zip(figure.subplots(1, 2), parts, strict=True):
        _draw(ax, lines, number)
        ax.set_yscale("log")
        ax.set_title(title, fontsize=10)
    _legend(figure)
    return figure


def draw_accuracy(lines: Sequence[Line]) -> Figure:
    """Draw accuracies with rewards against ε, beside those of own data and without privacy."""

    figure = Figure(figsize=(10, 3), layout="constrained")
    for k, (ax, name) in enumerate(zip(figure.subplots(1, len(DATASETS)), DATASETS, strict=True)):
        own = [line for line in lines if line["dataset"] == name]
        _draw(ax, own, _of("accuracy"), colour=COLOURS[k])
        for points, line_style in STYLES.items():
            for numbers, colour in ((_of("own"), style.INK), (None, style.BACKGROUND)):
                level = (
                    mean(select(own, "runs", points=points), numbers)
                    if numbers
                    else mean(select(own, "runs", points=points, epsilon=None), _of("accuracy"))
                )
                if level is not None:
                    ax.axhline(level, color=colour, linestyle=line_style, linewidth=1.2, zorder=0)
        ax.set_title(dataset_name(name), fontsize=10)
    figure.axes[0].set_ylabel("accuracy")
    figure.suptitle(
        "colour: with rewards; black: own data alone; grey: rewards without privacy; dotted: 1,000 points a party, "
        "solid: 5,000",
        fontsize=9,
    )
    return figure


def _draw(
    ax: Axes, lines: Sequence[Line], number: Callable[[Line], Sequence[float] | None], colour: str | None = None
) -> None:
    """Draw a number against ε, a line for each dataset and number of points."""

    epsilons = [e for e in EPSILONS if e is not None]
    for k, name in enumerate(DATASETS):
        for points, line_style in STYLES.items():
            pairs = [(e, mean(select(lines, "runs", dataset=name, points=points, epsilon=e), number)) for e in epsilons]
            pairs = [(e, y) for e, y in pairs if y is not None]
            if pairs:
                ax.plot(*zip(*pairs, strict=True), line_style, color=colour or COLOURS[k], marker=".", linewidth=1.2)
    ax.set_xscale("log")
    ax.set_xticks(epsilons, [f"{e:g}" for e in epsilons])
    ax.minorticks_off()
    ax.set_xlabel("ε")
    ax.grid(color=style.GRID)
    ax.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure) -> None:
    """Draw a legend of datasets and numbers of points."""

    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, label=dataset_name(n)) for n, colour in zip(DATASETS, COLOURS, strict=True)]
    handles += [
        Line2D([], [], color=style.INK, linestyle=each, label=f"{points:,} points a party")
        for points, each in STYLES.items()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
