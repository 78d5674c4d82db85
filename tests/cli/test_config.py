"""Tests that `conf/` agrees with the classes: each option builds the class that it names, and shows every default."""

import dataclasses
import functools
import inspect
import itertools
import re
import shlex

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException, InstantiationException, MissingConfigException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

import cgm
from cgm.utils.choices import CONF
from cgm.utils.plain import plain

PRIMARY = OmegaConf.load(CONF / "config.yaml")
DEFAULTS = [next(iter(default.items())) for default in PRIMARY.defaults if isinstance(default, DictConfig)]
GROUPS = [group for group, choice in DEFAULTS if choice is not None and not group.startswith("override ")]
SETS = {"metric/paper", "metric/none"}  # choices of several options, or of none
OPTIONS = sorted({f"{group}/{path.stem}" for group in GROUPS for path in (CONF / group).glob("*.yaml")} - SETS)
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
STATED = {"split/shares": "split.matrix=[[0.5,0.5,0,0,0],[0,0,0.5,0.5,0]]", "dataset/npz": "dataset.path=x.npz"}

# Where a YAML has another value than the default of the class, and why
DIFFERENT = {
    "kernel/*": {"lengthscale": "fit"},  # a kernel in Python has a number
    "kernel/sum": {"kernels": ...},  # the class has no default
    "kernel/multiscale": {"kernels": ..., "lengthscale": "median"},
    "features/umap_encoder": {"of": "encoder"},
    "features/umap_imagenet": {"of": "imagenet"},
    "features/umap_imagenet_lite": {
        "of": "imagenet",
        "network": "efficientnet_lite2",
        "size": 128,
    },
    "generator/kde_adaptive": {"bandwidth": "adaptive"},
    "scheme/fair": {"stable": False},  # the difference to scheme/stable
    "audit/all": {"membership": ..., "cells": ...},  # made by a factory in the class
    "metric/mmd2_laplacian": {"kernel": ...},
    "downstream/logistic_regression": {"estimator": ..., "scores": ["accuracy", "balanced_accuracy", "f1"]},
    "downstream/random_forest": {"estimator": ..., "scores": ["accuracy", "balanced_accuracy", "f1"]},
    "downstream/regression": {"estimator": ..., "scores": ["r2"]},
}

# settings of the program, not of the experiment
PROGRAM = {"threads": None, "force": False, "objective": "correlations.neg_mmd2_unbiased.mean"}


@functools.cache
def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", list(overrides))
    with open_dict(config):
        for setting in PROGRAM:
            del config[setting]
        if not any(override.startswith("logger") for override in overrides):
            del config["logger"]
    return config


def section_of(option: str, *overrides: str) -> DictConfig:
    """Return the section that an option makes; of a metric, the part that has its name."""

    group, name = option.split("/")
    section = composed(f"{group}={name}", *overrides)[group]
    return section[name] if group == "metric" else section


def as_tuple(x):
    return tuple(map(as_tuple, x)) if isinstance(x, list | tuple) else x


def test_every_folder_is_a_group():
    """And nothing else is in `conf`: the wheel has all of it."""

    of_the_mediator = {"generator", "features", "kernel", "reference", "contribution", "scheme", "sampling"}
    of_the_experiment = {"dataset", "split", "attack", "labeller", "metric", "downstream", "audit", "privacy"}
    assert of_the_mediator | of_the_experiment | {"logger", "engine"} == set(GROUPS)
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == {*GROUPS, "experiment", "hparams_search", "hydra"}
    assert {path.name for path in CONF.iterdir() if path.is_file()} == {"config.yaml", "settle.yaml"}
    assert {path.suffix for path in CONF.rglob("*") if path.is_file()} == {".yaml"}


def test_an_option_builds_what_it_names_and_shows_every_default():
    for option in OPTIONS:
        group, _ = option.split("/")
        section = section_of(option)
        shown = OmegaConf.to_container(section, resolve=True)
        target = get_class(shown.pop("_target_"))
        parameters = inspect.signature(target).parameters

        assert set(shown) == set(parameters), option
        different = DIFFERENT.get(f"{group}/*", {}) | DIFFERENT.get(option, {})
        for setting, value in shown.items():
            default = parameters[setting].default
            if setting in different:
                assert as_tuple(value) != default, (option, setting)
                assert different[setting] in (..., value), (option, setting)
            elif default is inspect.Parameter.empty:
                assert value == "???", (option, setting)
                assert STATED[option].startswith(f"{group}.{setting}=")
            else:
                assert as_tuple(value) == as_tuple(default), (option, setting)
                assert isinstance(value, bool) == isinstance(default, bool), (option, setting)

        if option in STATED:
            section = section_of(option, STATED[option])
        assert type(instantiate(section, _convert_="all")) is target


def test_the_configuration_shows_every_setting_of_an_experiment():
    config = OmegaConf.to_container(composed())
    assert config.pop("_target_") == "cgm.Experiment"
    assert set(config) == {field.name for field in dataclasses.fields(cgm.Experiment)}
    assert {setting: PRIMARY[setting] for setting in PROGRAM} == PROGRAM
    stated = {key for key in PRIMARY if key not in ("_target_", "defaults", "hydra", *PROGRAM)}
    assert stated | set(GROUPS) - {"logger"} == set(config)
    assert not stated & set(GROUPS)


def test_a_search_for_a_lengthscale_shows_every_default():
    shown = OmegaConf.to_container(PRIMARY.kernel_search)
    target = get_class(shown.pop("_target_"))
    assert shown == {name: parameter.default for name, parameter in inspect.signature(target).parameters.items()}


def test_each_setting_is_declared_once():
    """No option of a group has the name of a setting at the top, and no class is an option of two groups.

    The exceptions are `dataset.reference` and `generator.reference`: whether the data is that of the paper's program,
    and settings of metrics: a kernel that is another than that of the valuation, a seed that is the same in all runs.
    """

    targets = {option: get_class(section_of(option)["_target_"]) for option in OPTIONS}
    top = {field.name for field in dataclasses.fields(cgm.Experiment)} | set(PROGRAM)
    top -= {"reference"}
    groups: dict[type, set[str]] = {}
    for option, target in targets.items():
        others = {"kernel", "seed"} if option.startswith("metric/") else set()
        assert not (top - others) & set(inspect.signature(target).parameters), option
        groups.setdefault(target, set()).add(option.split("/")[0])
    assert {len(names) for names in groups.values()} == {1}


def test_the_defaults_of_python_and_of_the_configuration_are_the_same():
    assert plain(instantiate(composed(), _convert_="all")) == plain(cgm.Experiment(cache="outputs/cache"))


def test_an_experiment_begins_with_the_commands_that_run_it():
    for name in EXPERIMENTS:
        lines = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        assert lines[0] == "# @package _global_"
        comment = [line.removeprefix("# ") for line in itertools.takewhile(lambda line: line[0] == "#", lines[1:])]
        commands = [re.split(r"\s{2,}", line)[0] for line in comment if line.startswith("cgm ")]
        assert commands[0].split() == ["cgm", f"experiment={name}"]
        for command in commands:
            built = instantiate(composed(*shlex.split(command)[1:]), _convert_="all")
            assert isinstance(built, cgm.Experiment)


def test_experiments_are_those_of_the_paper():
    papers = {
        "credit_ratings": ("CreditRatings", 1000, "TrueMixture", "Automatic"),
        "credit_card": ("CreditCard", 5000, "KDE", "Automatic"),
        "mnist": ("MNIST", 5000, "MMDGAN", "UMAP"),
        "cifar10": ("CIFAR10", 5000, "MMDGAN", "UMAP"),
        "cifar10_encoder": ("CIFAR10", 5000, "MMDGAN", "UMAP"),
    }
    embedded = {"mnist": "pixels", "cifar10": "imagenet", "cifar10_encoder": "encoder"}
    assert {"debug", "debug_mnist", "privacy_value", *(f"paper_{name}" for name in papers)} == set(EXPERIMENTS)
    for name, (dataset, per_party, generator, features) in papers.items():
        for split in ("equal_disjoint", "unequal"):
            e = instantiate(composed(f"experiment=paper_{name}", f"split={split}"), _convert_="all")
            assert plain(e.split)["class"].lower() == split.replace("_", "")
            assert (e.synthetic_size, e.split.points_per_party, e.split.n_parties) == (100_000, per_party, 5)
            assert (e.sampling.betas, e.scheme.epsilon, e.scheme.stable) == ((1, 2, 4, 8), 1e-3, True)
            assert plain(e.kernel) == {"class": "SquaredExponential", "lengthscale": "fit"}
            classes = [plain(part)["class"] for part in (e.dataset, e.generator, e.features)]
            assert classes == [dataset, generator, features]
            assert getattr(e.features, "of", None) == embedded.get(name)
            assert getattr(e.generator, "bandwidth", "adaptive") == "adaptive"


def test_values_from_the_command_line_arrive():
    e = instantiate(
        composed(
            "dataset=credit_card",
            "split=unequal",
            "attack=noise",
            "attack.kind=shuffled",
            "generator=gaussian_mixture",
            "features=pca",
            "kernel=rational_quadratic",
            "kernel.lengthscale=median",
            "contribution.method=sampled",
            "contribution.max_permutations=50",
            "scheme=fair",
            "scheme.rho=0.5",
            "sampling.betas=[0,0.5,inf]",
            "sampling.patience=null",
            "labeller=knn",
            "labeller.n_neighbors=3",
            "downstream=none",
            "kernel_search.high=9.0",
            "growth=3",
            "max_growth=6",
            "data_dir=some/folder",
            "device=cpu",
            "synthetic_size=77",
            "seed=3",
        ),
        _convert_="all",
    )
    expected = cgm.Experiment(
        **{field: get_class(target)(**options) for field, target, options in (
            ("dataset", "cgm.data.CreditCard", {}),
            ("split", "cgm.data.Unequal", {}),
            ("attack", "cgm.data.attacks.Noise", {"kind": "shuffled"}),
            ("generator", "cgm.generators.GaussianMixture", {}),
            ("features", "cgm.data.features.PCA", {}),
            ("kernel", "cgm.valuation.kernels.RationalQuadratic", {"lengthscale": "median"}),
            ("contribution", "cgm.contributions.Shapley", {"method": "sampled", "max_permutations": 50}),
            ("scheme", "cgm.rewards.ShapleyFair", {"stable": False, "rho": 0.5}),
            ("sampling", "cgm.rewards.WeightedSampling", {"betas": (0, 0.5, float("inf")), "patience": None}),
            ("labeller", "cgm.evaluation.labellers.KNN", {"n_neighbors": 3}),
            ("downstream", "cgm.evaluation.tasks.NoTask", {}),
            ("kernel_search", "cgm.valuation.LengthscaleSearch", {"high": 9.0}),
        )},
        growth=3,
        max_growth=6,
        data_dir="some/folder",
        cache="outputs/cache",
        synthetic_size=77,
        seed=3,
    )  # fmt: skip
    assert plain(e) == plain(expected)


def test_the_true_mixture_follows_the_credit_ratings():
    e = instantiate(composed("experiment=paper_credit_ratings", "dataset.mixture_seed=9"), _convert_="all")
    assert e.generator.mixture_seed == 9
    e = instantiate(composed("experiment=paper_credit_ratings", "dataset.reference=true"), _convert_="all")
    assert e.generator.reference is True
    e = instantiate(composed("dataset=credit_card", "generator=true_mixture"), _convert_="all")
    assert e.generator.mixture_seed == 2


def test_an_unknown_option_of_a_class_is_refused_by_name():
    for option in OPTIONS:
        group, _ = option.split("/")
        section = OmegaConf.to_container(section_of(option), resolve=True) | {"no_such": 1}
        if option in STATED:
            setting, _, value = STATED[option].partition("=")
            section[setting.partition(".")[2]] = value
        unknown = "keyword argument 'no_such'"
        message = f"takes no arguments|{unknown}" if len(section) == 2 else unknown  # of a class without settings
        with pytest.raises(InstantiationException, match=message) as caught:
            instantiate({group: section}, _convert_="all")
        assert f"full_key: {group}" in str(caught.value)


def test_an_unknown_setting_or_choice_is_refused_by_name():
    for name in ("no_such", *(f"{group}.no_such" for group in GROUPS)):
        with pytest.raises(ConfigCompositionException, match=rf"Could not override '{re.escape(name)}'"):
            composed(f"{name}=1")
    with pytest.raises(InstantiationException, match="unexpected keyword argument 'no_such'"):
        instantiate(composed("+no_such=1"), _convert_="all")
    assert list(composed("metric=[kid,recall]").metric) == ["kid", "recall"]
    assert composed("metric=none").metric == {}
    with pytest.raises(MissingConfigException, match=r"(?s)Could not find 'kernel/no_such'.*squared_exponential"):
        composed("kernel=no_such")


def test_settings_without_a_default_are_required():
    for option, stated in STATED.items():
        if option in OPTIONS:
            group, name = option.split("/")
            setting = stated.split("=")[0]
            with pytest.raises(Exception, match=rf"Missing mandatory value: {re.escape(setting)}"):
                instantiate(composed(f"{group}={name}"), _convert_="all")
