"""Experiments of the study that share what they have in common: data, fits, pools, valuations, honest settlements."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch

import cgm
from cgm.data.features.base import Features
from cgm.experiment import ExperimentData
from cgm.mediator import Fitted, Mediator, Parties, Pooled, Settlement
from cgm.utils.cache import digest
from cgm.utils.checks import check_parties
from cgm.utils.plain import plain
from cgm.valuation.valuation import Valuation

T = TypeVar("T")


class Memory:
    """Results by the arguments that they were computed from; the oldest are forgotten.

    Arguments:
        keep: The number of results of each kind that are kept.

    Example:
        >>> memory = Memory()
        >>> memory("square", [3], lambda: 9), memory("square", [3], lambda: 0)
        (9, 9)
    """

    def __init__(self, keep: int = 24) -> None:
        self.keep = keep
        self.results: dict[str, OrderedDict[str, tuple[Any, Any]]] = {}

    def __call__(self, what: str, arguments: Sequence[Any], compute: Callable[[], T]) -> T:
        """Compute a result, or return that of an earlier call with equal arguments.

        Arguments:
            what: The kind of the result.
            arguments: What it depends on: settings and tensors count by their values, fitted and pooled data, which are
                results themselves, as the objects that they are.
            compute: Computes the result.
        """

        results = self.results.setdefault(what, OrderedDict())
        key = json.dumps([_key(argument) for argument in arguments])
        if key not in results:
            results[key] = compute(), arguments  # the arguments stay alive, so that no other object gets their identity
            if len(results) > self.keep:
                results.popitem(last=False)
        results.move_to_end(key)
        result: T = results[key][0]
        return result


def _key(argument: Any) -> Any:
    if isinstance(argument, Fitted | Pooled) or (isinstance(argument, Features) and argument.state is not None):
        return id(argument)
    if isinstance(argument, torch.Tensor):
        return digest({"x": argument.detach().cpu()})
    if isinstance(argument, list | tuple):
        return [_key(entry) for entry in argument]
    return plain(argument)


@dataclass(frozen=True)
class SharedMediator(Mediator):
    """A mediator that remembers what its stages computed, and whole settlements; all numbers stay the same.

    Attributes:
        memory: The results.
    """

    memory: Memory = field(default_factory=Memory, init=False)

    def settle(self, parties: Parties, seed: int = 0, features: Features | None = None) -> Settlement:
        """See `Mediator.settle`."""

        arguments = (self, parties := check_parties(parties), seed, features)
        return self.memory("settlement", arguments, lambda: super(SharedMediator, self).settle(parties, seed, features))

    def fit(self, parties: Parties, seed: int, features: Features | None = None) -> Fitted:
        """See `Mediator.fit`."""

        arguments = (self.generator, self.features, features, parties := check_parties(parties), seed)
        return self.memory("fitted", arguments, lambda: super(SharedMediator, self).fit(parties, seed, features))

    def pool(self, fitted: Fitted, size: int, seed: int) -> Pooled:
        """See `Mediator.pool`."""

        return self.memory("pooled", (fitted, size, seed), lambda: super(SharedMediator, self).pool(fitted, size, seed))

    def value(self, pooled: Pooled) -> Valuation:
        """See `Mediator.value`."""

        arguments = (pooled, self.kernel, self.kernel_search, self.reference, self.precision, self.device)
        return self.memory("valuation", arguments, lambda: super(SharedMediator, self).value(pooled))


@dataclass(frozen=True, kw_only=True)
class Experiment(cgm.Experiment):
    """An experiment that shares its work with others; its settings and its record are those of `cgm.Experiment`.

    Attributes:
        memory: The results that are shared.
    """

    memory: Memory = field(default_factory=Memory, init=False)

    @classmethod
    def of(cls, experiment: cgm.Experiment, memory: Memory) -> Experiment:
        """Return an experiment with the same settings that uses a memory."""

        shared = cls(**vars(experiment))
        object.__setattr__(shared, "memory", memory)
        return shared

    def mediator(self, **changes: Any) -> Mediator:
        """Return a mediator of these settings that remembers its work."""

        mediator = SharedMediator(**vars(super().mediator(**changes)))
        object.__setattr__(mediator, "memory", self.memory)
        return mediator

    def load(self) -> ExperimentData:
        """See `cgm.Experiment.load`."""

        arguments = (self.dataset, self.split, self.attack, self.data_dir, self.seed)
        return self.memory("data", arguments, super().load)
