"""Every bound of every setting: what is outside is refused, by the name of the setting."""

import dataclasses
import math
from importlib import import_module
from inspect import isabstract
from pkgutil import walk_packages

import pytest
from sklearn.neighbors import KNeighborsClassifier

import cgm
from cgm.data.features import Identity
from cgm.data.tables.columns import CategoricalColumn
from cgm.data.tables.schema import Schema
from cgm.generators import KDE
from cgm.utils.settings import BOOLEAN, Choice, Instance, Integer, Listed, Number, Settings, Text, constraints_of
from cgm.valuation.kernels import Laplacian

SKIP = ("cgm.cli.plugins", "cgm.__main__")
# settings without a default, which an object needs to be constructed
NUMBERS = {"name": "x", "minimum": 0.0, "maximum": 1.0, "median": 0.5}
REQUIRED: dict[str, dict[str, object]] = {
    "BooleanColumn": {"name": "x", "levels": ("no", "yes")},
    "CategoricalColumn": {"name": "x", "levels": ("a",)},
    "ConstantColumn": {"name": "x", "levels": ("a",)},
    "DateColumn": NUMBERS,
    "IntegerColumn": NUMBERS,
    "NumericColumn": NUMBERS,
    "TableEncoding": {"schema": Schema((CategoricalColumn("x", levels=("a",)),))},
    "Sum": {"kernels": [Laplacian()]},
    "ImageArrays": {"path": "images.npz"},
    "Pixels": {"generator": KDE(), "features": Identity()},
    "Shares": {"matrix": [[1.0]]},
    "EstimatorTask": {"estimator": KNeighborsClassifier()},
    "SettleSettings": {"schema": "schema.yaml", "out": "settlement"},
    "SketchSettings": {"schema": "schema.yaml", "epsilon": 1.0, "out": "north.sketch"},
}


def all_settings() -> dict[str, type[Settings]]:
    """Return the concrete classes of settings of cgm by their names."""

    found = {}
    for info in walk_packages(cgm.__path__, "cgm."):
        if not info.name.startswith(SKIP):
            found |= {
                f"{cls.__module__}.{cls.__name__}": cls
                for cls in vars(import_module(info.name)).values()
                if isinstance(cls, type) and issubclass(cls, Settings) and "__dataclass_fields__" in vars(cls)
            }
    return {name: cls for name, cls in sorted(found.items()) if not isabstract(cls)}


def refused(constraint) -> list[object]:
    """Return values just outside of a constraint, and of other types."""

    if isinstance(constraint, Integer):
        ends = [] if constraint.min is None else [constraint.min - 1]
        return [*ends, *([] if constraint.max is None else [constraint.max + 1]), 1.5, True, "1", math.nan]
    if isinstance(constraint, Number):
        outside = [
            constraint.min if constraint.open_min else math.nextafter(constraint.min, -math.inf),
            constraint.max if constraint.open_max else math.nextafter(constraint.max, math.inf),
        ]
        return [*outside, math.nan, math.inf, -math.inf, True, "x"]
    if constraint == BOOLEAN:
        return [0, 1, "true", 2]
    if isinstance(constraint, Choice | Instance):
        return ["there is no such choice", 3.25, object()]
    if isinstance(constraint, Listed):
        return ["text", 1, *([[]] if constraint.min else []), *([value] for value in refused(constraint.entry))]
    assert isinstance(constraint, Text)
    return ["", 5, 1.5]


@pytest.mark.parametrize("cls", all_settings().values(), ids=all_settings())
def test_what_is_outside_is_refused(cls):
    required = REQUIRED.get(cls.__name__, {})
    for name, (constraints, optional) in constraints_of(cls).items():
        setting = f"{cls.section}.{name}".lstrip(".")
        values = [value for constraint in constraints for value in refused(constraint)]
        for value in [*values, *([None] if constraints and not optional else [])]:
            if any(each.accepts(value) for each in constraints):
                continue
            with pytest.raises(ValueError) as error:
                cls(**{**required, name: value})
            assert str(error.value).startswith((f"{setting}=", f"{setting}: ")), (value, str(error.value))


def test_every_setting_of_a_simple_type_is_checked():
    simple = (int, float, bool, str)
    unchecked = [
        f"{name}.{field.name}"
        for name, cls in all_settings().items()
        for field in dataclasses.fields(cls)
        if field.init and isinstance(field.default, simple) and not constraints_of(cls)[field.name][0]
    ]
    assert unchecked == []
