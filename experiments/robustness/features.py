"""The table of features: images valued in the features of the base, and in learned or scaled ones."""

from collections.abc import Sequence
from statistics import fmean

from cgm.utils.text import markdown_table
from experiments.robustness.plan import DEFAULT, FEATURE_ATTACK
from experiments.robustness.records import FeatureRun, Records
from experiments.text import distinct, mean_over_seeds, minus, names


def feature_table(records: Records) -> list[str]:
    """List for each setting and choice of features α, its correlation with accuracy, and what noise gains."""

    rows = []
    for setting in dict.fromkeys(run.setting for run in records.features):
        for choice in dict.fromkeys(run.choice for run in records.features):
            own = [run for run in records.features if (run.setting, run.choice) == (setting, choice)]
            honest = [run for run in own if run.kind == "honest"]
            if honest:
                name = distinct(run.result.features for run in honest)
                name = f"{name} (default)" if choice == DEFAULT else name
                rows.append([*names(setting), name, *_cells(honest, [run for run in own if run not in honest])])
    if not rows:
        return []
    sizes = distinct(f"{run.result.synthetic_size:,}" for run in records.features)
    head = ["dataset", "split", "features", "d", "α of parties 1 to n", "α with accuracy"]
    head += [f"{FEATURE_ATTACK}: α", "true value, %"]
    return [
        "## Learned features",
        f"Images valued in other features, with |G| = {sizes} and the scheme of the base; means ± standard error over "
        "seeds. `deep` is a network that learns, without labels, to tell points from corrupted ones; `ard` has a scale "
        "for each column. The right half: what the weakest party, by its α in the default features, gains by uniform "
        "noise, in α and in true value (% of v_c(N), in the features themselves).",
        markdown_table(head, rows),
    ]


def _cells(honest: Sequence[FeatureRun], attacked: Sequence[FeatureRun]) -> list[str]:
    alphas = [fmean(alpha) for alpha in zip(*(run.result.contributions.alpha.tolist() for run in honest), strict=True)]
    correlations = [run.result.correlations["accuracy"].mean for run in honest]
    gains = [run.result.attack for run in attacked]
    whole = {run.seed: run.result.values.grand for run in honest}
    values = [
        100 * fmean(entry.value - entry.value_honest for entry in run.result.attack.by_beta) / whole[run.seed]
        for run in attacked
        if run.result.attack is not None and run.seed in whole
    ]
    return [
        distinct(str(run.result.dimensions) for run in honest),
        minus(" ".join(f"{alpha:.2f}" for alpha in alphas)),
        mean_over_seeds([x for x in correlations if x is not None], 2),
        mean_over_seeds([gain.alpha.total - gain.alpha.honest for gain in gains if gain is not None], 2),
        mean_over_seeds(values, 1),
    ]
