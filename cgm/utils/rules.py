"""What checks of rules share, such as `check_generator`: errors that name the rule, and the global random state."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import numpy as np
import torch


@contextmanager
def broken_rule(name: str, kind: str, rule: str) -> Iterator[None]:
    """Turn any error into an `AssertionError` that names the rule which is broken.

    Arguments:
        name: The class that is checked.
        kind: What it is one of, such as `"generators"`.
        rule: The rule.
    """

    try:
        yield
    except Exception as error:
        found = str(error) if type(error) is AssertionError else repr(error)
        raise AssertionError(f"{name} breaks a rule of {kind}: {rule}. Found: {found}") from error


def check_object(kind: str, x: object) -> None:
    """Check that what is checked is an object, and not its class.

    Arguments:
        kind: What it is one of, such as `generator`.
        x: The object.

    Raises:
        ValueError: If it is a class.
    """

    if isinstance(x, type):
        raise ValueError(f"{kind}: got the class {x.__name__} itself; pass an object, {x.__name__}()")


def require(condition: bool, found: str) -> None:
    """Raise an `AssertionError` with what was found unless a condition holds."""

    if not condition:
        raise AssertionError(found)


def refused(call: Callable[[], object], hint: str = "") -> None:
    """Raise an `AssertionError` unless a call raises a `ValueError`.

    Arguments:
        call: The call.
        hint: What would raise it, for the message.
    """

    hint = f"; {hint}" if hint else ""

    try:
        call()
    except ValueError:
        return
    except Exception as error:
        raise AssertionError(f"it raises {error!r}{hint}") from error
    raise AssertionError(f"no error is raised{hint}")


def call_before(call: Callable[[], object]) -> None:
    """Call what is checked once before, so that what it imports has been imported: some packages draw numbers then.

    The global random state is restored, and an error is left to the check.
    """

    with suppress(Exception), unchanged_random_state(lambda _: suppress(AssertionError), ""):
        call()


@contextmanager
def unchanged_random_state(rule: Callable, method: str) -> Iterator[None]:
    """Check that a method leaves the global random state as it was, and restore it.

    Arguments:
        rule: `broken_rule` with the name and the kind.
        method: The name of the method.
    """

    streams: dict[str, tuple[Callable[[], Any], Callable[[Any], None], Callable[[int], Any]]] = {
        "torch": (torch.get_rng_state, torch.set_rng_state, torch.rand),
        "numpy": (np.random.get_state, np.random.set_state, np.random.rand),
        "random": (random.getstate, random.setstate, lambda _: random.random()),
    }
    if torch.cuda.is_available():
        cuda = torch.cuda
        streams["torch on CUDA"] = (
            cuda.get_rng_state,
            cuda.set_rng_state,
            partial(torch.rand, device="cuda"),
        )

    states = {name: get() for name, (get, _, _) in streams.items()}

    try:
        for _, _, draw in streams.values():
            draw(1)  # a state that no seed leads to, so that seeding is noticed
        before = {name: _plain(get()) for name, (get, _, _) in streams.items()}
        yield
        with rule(f"{method} does not change the global random state"):
            changed = [name for name, (get, _, _) in streams.items() if _plain(get()) != before[name]]
            require(not changed, f"it changes that of {', '.join(changed)}")
    finally:
        for name, (_, put, _) in streams.items():
            put(states[name])


def _plain(state: Any) -> list[Any]:
    return state.tolist() if isinstance(state, torch.Tensor) else [np.asarray(part).tolist() for part in state]
