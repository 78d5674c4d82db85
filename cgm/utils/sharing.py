"""Results that several runs in one process have in common, computed once."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch

from cgm.utils.cache import digest

T = TypeVar("T")

_store: ContextVar[dict[str, OrderedDict[Hashable, Any]] | None] = ContextVar("shared", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Within this context, runs share what they compute from the same data with the same settings.

    Numbers stay the same. Shared results must not be changed; they are kept until the context ends, or until newer ones
    replace them. Outside of such a context, nothing is kept.

    Example:
        >>> computed = []
        >>> with sharing():
        ...     for x in (1, 2, 1):
        ...         _ = shared("square", x, lambda: computed.append(x))
        >>> computed
        [1, 2]
    """

    token = _store.set({})
    try:
        yield
    finally:
        _store.reset(token)


def is_sharing() -> bool:
    """Return whether this is called within `sharing`."""

    return _store.get() is not None


def shared(what: str, key: Hashable, compute: Callable[[], T], keep: int = 24) -> T:
    """Compute a result, or return that of an earlier call with the same key within `sharing`.

    Arguments:
        what: The kind of the result.
        key: Everything that the result depends on.
        compute: Computes the result.
        keep: The maximum number of results of this kind that are kept.
    """

    store = _store.get()
    if store is None:
        return compute()
    results = store.setdefault(what, OrderedDict())
    if key not in results:
        results[key] = compute()
        if len(results) > keep:
            results.popitem(last=False)
    results.move_to_end(key)
    result: T = results[key]
    return result


def settings_of(x: Any) -> Hashable:
    """Return the class and the settings of a dataclass as a key; objects of other classes equal only themselves.

    Example:
        >>> from cgm.generators import KDE
        >>> settings_of(KDE("scott")) == settings_of(KDE("scott")), settings_of(KDE("scott")) == settings_of(KDE("cv"))
        (True, False)
    """

    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        fields = (getattr(x, field.name) for field in dataclasses.fields(x) if field.init)
        return type(x), *(settings_of(value) for value in fields)
    if isinstance(x, list | tuple):
        return type(x), *(settings_of(value) for value in x)
    if isinstance(x, dict):
        return dict, *((name, settings_of(value)) for name, value in x.items())
    return x


def data_of(parts: Sequence[torch.Tensor]) -> Hashable:
    """Return a key made of the values of tensors, or `None` outside of `sharing`, where there is no need of keys."""

    return tuple(digest({"x": x.detach().cpu()}) for x in parts) if is_sharing() else None
