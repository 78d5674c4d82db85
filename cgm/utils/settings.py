r"""Settings as fields of dataclasses, with their constraints beside them.

A class of settings derives from `Settings` and annotates its fields: with a type, or with a type and a constraint.

Example:
    >>> @dataclass(frozen=True)
    ... class Smoothing(Settings):
    ...     section = "smoothing"
    ...     width: Annotated[float, Number(min=0, open_min=True)] | Literal["fit"] = "fit"
    ...     steps: Annotated[int, Integer(min=1)] = 10
    >>> Smoothing(width="fitt")
    Traceback (most recent call last):
    ValueError: smoothing.width=fitt: expected a number in (0, inf), or one of fit; did you mean fit?
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import types
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from cgm.utils.choices import choose, is_group
from cgm.utils.text import suggestion

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Integer:
    """An integer from `min` to `max`; a bool is none."""

    min: int | None = None
    max: int | None = None

    def accepts(self, value: object) -> bool:
        """Return whether a value satisfies the constraint."""

        if not isinstance(value, Integral) or isinstance(value, bool):
            return False
        number = int(value)
        return (self.min is None or self.min <= number) and (self.max is None or number <= self.max)

    def __str__(self) -> str:
        if self.min is None:
            return "an integer"
        return f"an integer >= {self.min}" if self.max is None else f"an integer from {self.min} to {self.max}"


@dataclass(frozen=True)
class Number:
    """A finite real number in an interval, whose ends may be excluded; a bool and NaN are none."""

    min: float = -math.inf
    max: float = math.inf
    open_min: bool = False
    open_max: bool = False

    def accepts(self, value: object) -> bool:
        """Return whether a value satisfies the constraint."""

        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        number = float(value)
        above = self.min < number if self.open_min else self.min <= number
        return above and (number < self.max if self.open_max else number <= self.max)

    def __str__(self) -> str:
        left = "(" if self.open_min or self.min == -math.inf else "["
        right = ")" if self.open_max or self.max == math.inf else "]"
        return f"a number in {left}{self.min:g}, {self.max:g}{right}"


@dataclass(frozen=True)
class Text:
    """A string that is not empty, or the path of a file or folder."""

    path: bool = False

    def accepts(self, value: object) -> bool:
        """Return whether a value satisfies the constraint."""

        return isinstance(value, (str, PathLike) if self.path else str) and value != ""

    def __str__(self) -> str:
        return "a path" if self.path else "text"


@dataclass(frozen=True)
class Choice:
    """One of several names; `Literal` declares the same, where names need not be computed."""

    names: tuple[Any, ...]

    def accepts(self, value: object) -> bool:
        """Return whether a value satisfies the constraint."""

        return any(type(value) is type(name) and value == name for name in self.names)

    def __str__(self) -> str:
        return "one of " + ", ".join(_yaml(name) for name in self.names)


@dataclass(frozen=True)
class Instance:
    """An object of a class."""

    kind: type

    def accepts(self, value: object) -> bool:
        """Return whether a value satisfies the constraint."""

        return isinstance(value, self.kind)

    def __str__(self) -> str:
        return f"{'an' if self.kind.__name__[0] in 'AEIOU' else 'a'} {self.kind.__name__}"


@dataclass(frozen=True)
class Listed:
    """A list or tuple, each entry of which satisfies a constraint.

    Attributes:
        entry: The constraint of an entry.
        min: The minimum number of entries.
    """

    entry: Constraint
    min: int = 0

    def accepts(self, value: object) -> bool:
        """Return whether a value satisfies the constraint."""

        return isinstance(value, list | tuple) and len(value) >= self.min and all(map(self.entry.accepts, value))

    def __str__(self) -> str:
        least = f"at least {self.min} " if self.min else ""
        return f"a list of {least}entries, each {self.entry}"


Constraint = Integer | Number | Text | Choice | Instance | Listed
BOOLEAN = Choice((True, False))
PLAIN: dict[Any, Constraint] = {int: Integer(), float: Number(), str: Text(), bool: BOOLEAN}


class _Signature:
    """The signature of a class of settings, with the default objects themselves where dataclasses show `<factory>`."""

    def __get__(self, instance: object | None, owner: type) -> inspect.Signature:
        if instance is not None:
            raise AttributeError("__signature__")  # an object that can be called has that of its method
        if owner.__init__ is object.__init__:  # type: ignore[misc]
            return inspect.Signature()
        signature = inspect.signature(owner.__init__)  # type: ignore[misc]  # of the class, not of an object
        made = {
            field.name: field.default_factory()
            for field in getattr(owner, "__dataclass_fields__", {}).values()
            if field.init and field.default_factory is not dataclasses.MISSING
        }
        parameters = [
            each.replace(default=made[each.name]) if repr(each.default) == "<factory>" and each.name in made else each
            for each in list(signature.parameters.values())[1:]
        ]
        return signature.replace(parameters=parameters, return_annotation=signature.empty)


class Settings:
    """Base class of dataclasses whose fields are settings, checked when an object is constructed.

    Attributes:
        section: The section of the settings in a configuration, which messages name before the field; may be empty.
        primary: The primary configuration whose choices of groups the class takes by their names.
    """

    section: ClassVar[str] = ""
    primary: ClassVar[str] = "config"
    __signature__: ClassVar[Any] = _Signature()

    def __init_subclass__(cls, **options: Any) -> None:
        """Add the settings that a class inherits to its docstring, and keep the decorator from writing a `__repr__`."""

        super().__init_subclass__(**options)
        cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # the decorator of dataclasses would write another
        if cls.__dict__.get("__doc__"):
            cls.__doc__ = with_inherited(cls)

    def __new__(cls, *arguments: Any, **settings: Any) -> Self:
        """Refuse settings that the class does not have, and suggest one that it has."""

        if cls.__init__ is object.__init__ and (arguments or settings):
            raise TypeError(f"{cls.__name__}() takes no arguments")
        names = _names_of(cls) if settings else None  # type: ignore[arg-type]
        for name in settings if names is not None else ():
            if names is not None and name not in names:
                method = _method_with(cls, name)
                hint = suggestion(name, names) or f"; it has {', '.join(names) or 'none'}"
                hint = f"; {name} is an argument of {method}" if method else hint
                raise TypeError(f"{cls.__name__}.__init__() got an unexpected keyword argument {name!r}{hint}")
        return super().__new__(cls)

    def __repr__(self) -> str:
        """Return the settings that differ from their defaults, as scikit-learn does."""

        if not dataclasses.is_dataclass(self):
            return super().__repr__()
        shown = [f for f in dataclasses.fields(self) if f.init and f.repr and not _is_default(f, getattr(self, f.name))]
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    def __post_init__(self) -> None:
        # the last ones first: a generator may follow settings of the dataset
        for name, (constraints, _) in reversed(constraints_of(type(self)).items()):  # type: ignore[arg-type]
            value = getattr(self, name)
            if _is_choice(name, value, constraints):
                setting = f"{self.section}.{name}".lstrip(".")
                object.__setattr__(self, name, choose(name, value, self, setting, self.primary))
        for name, (constraints, optional) in constraints_of(type(self)).items():  # type: ignore[arg-type]  # typeshed: a class is hashable
            check_setting(f"{self.section}.{name}".lstrip("."), getattr(self, name), constraints, optional)


def _is_default(setting: dataclasses.Field, value: object) -> bool:
    """Return whether a setting has its default; whether arrays do is not compared."""

    default = setting.default
    if setting.default_factory is not dataclasses.MISSING:
        default = setting.default_factory()
    same = (value == default) is True or (isinstance(value, Settings) and repr(value) == repr(default))
    return type(value) is type(default) and same


def with_inherited(cls: type) -> str:
    """Return the docstring of a class of settings with those that it inherits, where it does not describe them itself.

    The descriptions are those of the class that has them in the section `Arguments:` of its own docstring.
    """

    before, own, after = _parts(cls.__doc__ or "")
    names = {field.name for field in getattr(cls, "__dataclass_fields__", {}).values() if field.init}
    names |= {*inspect.get_annotations(cls)}  # those of the class itself are no fields yet
    entries = dict(own)
    described = {name for heading in own for name in heading.split(", ")}
    for base in cls.__mro__[1:]:
        for heading, text in _parts(base.__doc__ or "")[1].items() if issubclass(base, Settings) else ():
            parts = heading.split(", ")
            if (names & set(parts)) - described:
                entries[", ".join(name for name in parts if name not in described)] = text
                described |= set(parts)
    if not entries:
        return inspect.cleandoc(cls.__doc__ or "")
    lines = [f"    {heading}: {text}" for heading, text in entries.items()]
    return "\n\n".join(part for part in (before, "\n".join(["Arguments:", *lines]), after) if part)


def _parts(doc: str) -> tuple[str, dict[str, str], str]:
    """Divide a docstring into what is before its section of arguments, these by their names, and what is after."""

    doc = inspect.cleandoc(doc)
    if found := re.search(r"^Arguments:\n((?:    .*\n?|\n(?=    ))+)", doc, re.M):
        before, section, after = doc[: found.start()], found[1], doc[found.end() :]
    else:
        start = re.search(r"^(Attributes|Raises|References|Example):$", doc, re.M)
        before, section, after = doc[: start.start() if start else len(doc)], "", doc[start.start() :] if start else ""
    entries = re.split(r"^    (?=\S)", section, flags=re.M)
    pairs = [entry.rstrip().partition(": ") for entry in entries if entry.strip()]
    return before.strip(), {heading: text for heading, _, text in pairs}, after.strip()


@cache
def _names_of(cls: Any) -> tuple[str, ...] | None:
    """Return the names that a class can be called with; `None` if it takes any."""

    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    if any(each.kind == each.VAR_KEYWORD for each in parameters):
        return None
    return tuple(each.name for each in parameters)


def _method_with(cls: type, name: str) -> str | None:
    """Return the first public method of a class that has an argument of this name."""

    for base in cls.__mro__:
        for method, function in vars(base).items():
            if inspect.isfunction(function) and method[0] != "_" and name in inspect.signature(function).parameters:
                return method
    return None


def _is_choice(name: str, value: object, constraints: tuple[Constraint, ...]) -> bool:
    """Return whether a value is the name of a choice of a group, or a list of names, and not the setting itself."""

    named = isinstance(value, str) or (
        name == "metric" and isinstance(value, list | tuple) and {*map(type, value)} == {str}
    )
    of_objects = not constraints or any(isinstance(each, Instance) for each in constraints)
    return named and of_objects and not any(each.accepts(value) for each in constraints) and is_group(name)


def check_setting(setting: str, value: object, constraints: tuple[Constraint, ...], optional: bool = False) -> None:
    """Check that a setting satisfies one of some constraints.

    Arguments:
        setting: The name of the setting, for the error message.
        value: Its value.
        constraints: The constraints; without any, everything is accepted.
        optional: Whether `None` is allowed as well.

    Raises:
        ValueError: If it does not; the message has the setting, the value and what is expected.
    """

    if not constraints or (optional and value is None) or any(each.accepts(value) for each in constraints):
        return
    null = " or null" if optional else ""
    if all(isinstance(each, Instance) for each in constraints):
        found = f"the class {value.__name__} itself" if isinstance(value, type) else type(value).__name__
        names = " or ".join(each.kind.__name__ for each in constraints if isinstance(each, Instance))
        raise ValueError(f"{setting}: expected {'an' if names[0] in 'AEIOU' else 'a'} {names}{null}, got {found}")
    others = [each for each in constraints if not isinstance(each, Choice)]
    choices = [name for each in constraints if isinstance(each, Choice) for name in each.names]
    parts = [" or ".join(map(str, others))] if others else []
    if choices and set(choices) <= {True, False}:
        parts.append(" or ".join(map(_yaml, choices)))
    elif choices:
        parts.append(str(Choice(tuple(choices))))
    hint = suggestion(value, [name for name in choices if isinstance(name, str)]) if isinstance(value, str) else ""
    raise ValueError(f"{setting}={_yaml(value)}: expected {', or '.join(parts)}{null}{hint}")


@cache
def constraints_of(cls: Any) -> dict[str, tuple[tuple[Constraint, ...], bool]]:
    """Return the constraints of each setting of a dataclass, and whether it may be `None`.

    A setting of a type without constraints, such as a list of the user's own objects, has none.
    """

    if not dataclasses.is_dataclass(cls):
        return {}
    try:
        hints = get_type_hints(cls, include_extras=True)
    except NameError:  # names that a class of the user imports for type checkers only
        return {}
    return {field.name: _constraints(hints[field.name]) for field in dataclasses.fields(cls) if field.init}


def _constraints(hint: Any) -> tuple[tuple[Constraint, ...], bool]:
    """Return the constraints of an annotation, and whether it includes `None`."""

    if get_origin(hint) is Annotated:
        found = tuple(extra for extra in hint.__metadata__ if isinstance(extra, Constraint))
        inner, optional = _constraints(hint.__origin__)
        return found or inner, optional
    if get_origin(hint) in (Union, types.UnionType):
        parts = [_constraints(part) for part in get_args(hint) if part is not type(None)]
        if not all(constraints for constraints, _ in parts):
            return (), True
        return tuple(each for constraints, _ in parts for each in constraints), type(None) in get_args(hint)
    if get_origin(hint) is Literal:
        return (Choice(get_args(hint)),), False
    if hint in PLAIN:
        return (PLAIN[hint],), False
    if isinstance(hint, type) and hint not in (object, Any) and not getattr(hint, "_is_protocol", False):
        return (Instance(hint),), False
    return (), False


def _yaml(value: object) -> str:
    """Return a value as it stands in a configuration."""

    return {"True": "true", "False": "false", "None": "null"}.get(repr(value), str(value))
