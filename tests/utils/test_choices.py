"""Choices of groups by their names, suggestions for misspelt settings, docstrings and signatures of settings."""

import inspect
import pydoc
import re
from dataclasses import MISSING, dataclass, fields
from typing import Annotated

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import cgm
from cgm import Experiment, ImageMediator, Mediator, TableMediator
from cgm.data import CreditRatings
from cgm.generators import TrueMixture
from cgm.utils.choices import CONF, choices_of, is_group
from cgm.utils.plain import plain
from cgm.utils.settings import Integer, Settings
from cgm.valuation.kernels import Laplacian
from tests.contracts.test_settings import all_settings

WITH = {("privacy", "release"): {"generator": "mean_embedding"}}
REQUIRED = {("dataset", "npz"): "path", ("split", "shares"): "matrix"}


def groups(cls: type) -> list[str]:
    return [field.name for field in fields(cls) if field.init and is_group(field.name)]


@pytest.mark.parametrize(("cls", "primary"), [(Experiment, "config"), (TableMediator, "settle")])
def test_every_choice_is_what_the_command_line_makes_of_it(cls, primary):
    assert {"generator", "features", "kernel", "contribution", "scheme", "sampling", "reference"} <= {*groups(cls)}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for group in groups(cls):
            for name in choices_of(group):
                if (cls, group, name) == (TableMediator, "privacy", "release"):
                    with pytest.raises(ValueError, match=r"^privacy\.public=0\.5: of tables, expected the file of"):
                        cls(privacy=name, generator="mean_embedding")
                    continue
                if (group, name) in REQUIRED:
                    setting = REQUIRED[group, name]
                    message = rf"^{group}={name}: {setting} has no default; give \w+\({setting}=\.\.\.\) of cgm\.data"
                    with pytest.raises(ValueError, match=message):
                        cls(**{group: name})
                    continue
                section = compose(primary, [f"{group}={name}"], return_hydra_config=False)[group]
                expected = instantiate(section, _convert_="all")
                assert plain(getattr(cls(**{group: name}, **WITH.get((group, name), {})), group)) == plain(expected), (
                    f"{group}={name}"
                )


def test_several_metrics():
    experiment = Experiment(metric=["paper", "energy_distance"])
    assert list(experiment.metric) == [*Experiment().metric, "energy_distance"]
    assert Experiment(metric="none").metric == {}
    assert list(Experiment(metric="kid").metric) == ["kid"]
    with pytest.raises(ValueError, match="metric: expected metrics by their names"):
        Experiment(metric=[])


def test_a_choice_follows_the_settings_that_it_refers_to():
    dataset = CreditRatings(mixture_seed=7)
    assert Experiment(generator="true_mixture", dataset=dataset).generator.mixture_seed == 7
    assert Mediator(generator="true_mixture").generator.mixture_seed == TrueMixture().mixture_seed
    assert TableMediator(kernel="laplacian").kernel == Laplacian("median")  # as cgm settle kernel=laplacian
    assert Mediator(kernel="laplacian").kernel == Laplacian("fit")


def test_an_unknown_choice_lists_all_and_suggests_one():
    for cls in (Mediator, Experiment, TableMediator, ImageMediator):
        for group in groups(cls):
            with pytest.raises(ValueError, match=rf"^{group}=no_such: expected one of {', '.join(choices_of(group))}"):
                cls(**{group: "no_such"})
    with pytest.raises(ValueError, match=r"did you mean laplacian\?$"):
        Mediator(kernel="laplacan")


def test_a_misspelt_setting_suggests_the_right_one():
    for cls, name, hint in (
        (Mediator, "synthetic_sise", r"; did you mean synthetic_size\?"),
        (Experiment, "genrator", r"; did you mean generator\?"),
        (Laplacian, "lengthscal", r"; did you mean lengthscale\?"),
        (cgm.generators.KDE, "bandwith", r"; did you mean bandwidth\?"),
        (Laplacian, "zzz", "; it has lengthscale"),
        (cgm.data.features.Identity, "zzz", ""),
    ):
        with pytest.raises(TypeError, match=f"{cls.__name__}.*{hint}$"):
            cls(**{name: 1})
    with pytest.raises(TypeError, match=r"Identity\(\) takes no arguments"):
        cgm.data.features.Identity(5)

    class Open(Settings):
        def __init__(self, **options):
            self.options = options

    assert Open(anything=3).options == {"anything": 3}


def test_signatures_show_real_defaults():
    for name, cls in all_settings().items():
        signature = inspect.signature(cls)
        assert "<factory>" not in str(signature), name
        assert {*signature.parameters} == {field.name for field in fields(cls) if field.init}, name
        for field in fields(cls):
            if field.init and field.default_factory is not MISSING:
                assert plain(signature.parameters[field.name].default) == plain(field.default_factory()), name
    assert "synthetic_size: 'Annotated[int, Integer(min=1)] | None' = 10000" in str(inspect.signature(Experiment))
    assert [*inspect.signature(Laplacian(1.0)).parameters] == ["x", "y"]  # of the kernel itself, which can be called


def test_docstrings_have_all_settings():
    for name, cls in all_settings().items():
        text = inspect.getdoc(cls) or ""
        section = re.split(r"^\S", text.partition("Arguments:\n")[2], flags=re.M)[0]
        headings = [line.partition(":")[0] for line in section.splitlines() if line[:5].count(" ") == 4]
        described = {name for heading in headings for name in heading.strip().split(", ")}
        assert {field.name for field in fields(cls) if field.init} == described, name
    text = pydoc.plain(pydoc.render_doc(Experiment))
    assert "  synthetic_size: The size of $G$." in text
    assert text.index("Raises:") > text.index("  device: Where the kernel's sums are computed")
    assert "min=1" in text


def test_a_docstring_of_the_user_gets_what_it_inherits():
    @dataclass(frozen=True)
    class Base(Settings):
        """A base.

        Arguments:
            width, height: The size
                of it.
            depth: How deep.

        Raises:
            ValueError: If not.
        """

        width: int = 1
        height: int = 1
        depth: Annotated[int, Integer(min=1)] = 1

    @dataclass(frozen=True)
    class Mine(Base):
        """Mine, of one line."""

        colour: str = "red"

    @dataclass(frozen=True)
    class Other(Mine):
        """Other.

        Arguments:
            width: Another width.

        Example:
            >>> 1
        """

    class Bare(Mine):
        pass

    inherited = "    width, height: The size\n        of it.\n    depth: How deep."
    assert Mine.__doc__ == f"Mine, of one line.\n\nArguments:\n{inherited}"
    assert Other.__doc__ == (
        "Other.\n\nArguments:\n    width: Another width.\n    height: The size\n        of it.\n    depth: How deep."
        "\n\nExample:\n    >>> 1"
    )
    assert Bare.__doc__ is None
