"""Training of the MMD-GAN."""

from __future__ import annotations

import copy
import io
import json
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import save as to_bytes
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torchvision.utils import save_image

from cgm.generators.mmd_gan.networks import CriticNetwork, GeneratorNetwork
from cgm.utils.files import write_whole
from cgm.utils.progress import progress
from cgm.utils.tensors import digest, read_tensors

if TYPE_CHECKING:
    from cgm.generators.mmd_gan.generator import MMDGAN
from cgm.generators.mmd_gan.losses import KID, critic_kernel, critic_objective, mmd2, stalled

log = logging.getLogger(__name__)

CRITIC_FEATURES = 16
STREAMS = INITIAL, BATCHES, CODES, EVALUATION = range(4)
CHECKPOINT = "checkpoint.safetensors"
SAVE_EVERY = 180  # seconds


class Training:
    """Trains the two networks of an `MMDGAN`, and can be cut and resumed at any step.

    Arguments:
        settings: The generator whose settings apply.
        x: Real images, of shape (N, C, H, W), float32.
        seed: The seed of everything random.
    """

    def __init__(self, settings: MMDGAN, x: Tensor, seed: int) -> None:
        self.settings, self.x, self.seed = settings, x, seed
        streams = np.random.SeedSequence(seed).spawn(len(STREAMS))
        random = [torch.Generator().manual_seed(int(s.generate_state(1, np.uint64)[0])) for s in streams]
        self.random = {"batches": random[BATCHES], "codes": random[CODES]}

        image = tuple(x.shape[1:])
        self.steps = settings.steps_for(image)
        self.generator = GeneratorNetwork(image, settings.channels, settings.latent).initialise(random[INITIAL])
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        spectral = settings.normalisation == "spectral"
        self.critic = CriticNetwork(image, settings.channels, CRITIC_FEATURES, spectral).initialise(random[INITIAL])
        self.optimizers = {
            "generator": torch.optim.Adam(self.generator.parameters(), settings.learning_rate, betas=(0.5, 0.9)),
            "critic": torch.optim.Adam(self.critic.parameters(), settings.learning_rate, betas=(0.5, 0.9)),
        }

        self.kid = KID(x, random[EVALUATION])
        self.codes = self._uniform(KID.most, random[EVALUATION])
        self.step, self.seconds, self.learning_rate = 0, 0.0, settings.learning_rate
        self.history: list[Tensor] = []  # KID by block, at each evaluation since the learning rate was last halved
        self.losses = {"mmd2": 0.0, "penalty": 0.0}
        self.report: dict[str, float] = {}

    def run(self) -> GeneratorNetwork:
        """Trains until the steps or the minutes are used up, and returns the network to sample with."""

        folder = self.settings.checkpoint
        path = Path(folder) / CHECKPOINT if folder is not None else None
        if path is not None and path.exists():
            self.load(path)
            log.info("training resumes at step %d of %d from %s", self.step, self.steps, path)
        limit = math.inf if self.settings.minutes is None else 60 * self.settings.minutes
        saved = time.monotonic()
        begin = saved - self.seconds

        with progress(self.steps, "training") as bar:
            bar.update(self.step)
            while self.step < self.steps and self.seconds < limit:
                self.advance()
                if self.step % self.settings.evaluate_every == 0:
                    self.adapt(self.evaluate())
                now = time.monotonic()
                self.seconds = now - begin
                if path is not None and now - saved > SAVE_EVERY:
                    self.save(path)
                    saved = now
                bar.set_postfix({name: f"{value:.3g}" for name, value in self.losses.items()}, refresh=False)
                bar.update()

        if path is not None:
            self.save(path)
        if self.report.get("steps") != self.step:
            self.evaluate()

        return self.network()

    def advance(self) -> None:
        """Takes one step of the generator, and those of the critic before it."""

        for _ in range(self.settings.critic_steps):
            self._critic_step()

        with torch.no_grad():
            real = self.critic(self._batch())
        self.critic.requires_grad_(False)
        fake = self.critic(self.generator(self._codes()))
        self._descend("generator", mmd2(critic_kernel, fake, real))
        self.critic.requires_grad_(True)

        self.step += 1
        keep = min(1 - 1 / self.settings.ema, self.step / (self.step + 9))  # the first steps are soon forgotten
        with torch.no_grad():
            for mean, weight in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                mean.lerp_(weight, 1 - keep)

    def _critic_step(self) -> None:
        real = self._batch()
        with torch.no_grad():
            fake = self.generator(self._codes())
        share = torch.rand(len(real), 1, 1, 1, generator=self.random["batches"])
        between = share * real + (1 - share) * fake

        weights = self.settings.gradient_penalty, self.settings.feature_penalty
        gain, penalty = critic_objective(self.critic, real, fake, between, *weights)
        self._descend("critic", penalty - gain)

        self.losses = {"mmd2": float(gain.detach()), "penalty": float(penalty.detach())}
        self._check(**self.losses)

    def _check(self, **values: float) -> None:
        if not math.isfinite(sum(values.values())):
            raise ValueError(
                f"training diverged at step {self.step}: {values}; lower generator.learning_rate="
                f"{self.settings.learning_rate:g}"
            )

    def _descend(self, name: str, loss: Tensor) -> None:
        network, optimizer = getattr(self, name), self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    def _batch(self) -> Tensor:
        rows = torch.randint(len(self.x), (self.settings.batch_size,), generator=self.random["batches"])
        return self.x[rows]

    def _codes(self) -> Tensor:
        return self._uniform(self.settings.batch_size, self.random["codes"])

    def _uniform(self, n: int, random: torch.Generator) -> Tensor:
        return 2 * torch.rand(n, self.settings.latent, generator=random) - 1

    def network(self) -> GeneratorNetwork:
        """Makes the network to sample with: averaged weights, without batch normalisation."""

        return self.average.folded(self.codes)

    @torch.no_grad()
    def evaluate(self) -> Tensor:
        """Measures and logs the KID, block by block, and saves a grid of samples if there is a folder for it."""

        images = self.network()(self.codes)
        kid = self.kid(images[: self.kid.size])
        self.report = {"steps": self.step, "seconds": round(self.seconds), "kid": float(kid.mean())}
        self._check(kid=self.report["kid"])
        log.info(
            "step %d of %d, %.0f s: MMD² %.4g, penalty %.4g, KID %.4g, learning rate %.3g",
            self.step,
            self.steps,
            self.seconds,
            *self.losses.values(),
            float(kid.mean()),
            self.learning_rate,
        )

        if self.settings.checkpoint is not None:
            file = io.BytesIO()
            save_image(images[:100], file, format="png", nrow=10, padding=1, pad_value=0.5)
            write_whole(Path(self.settings.checkpoint) / f"samples-{self.step:06d}.png", file.getvalue())

        return kid

    def adapt(self, kid: Tensor) -> None:
        """Halves the learning rate if the KID has not fallen since some evaluations ago."""

        self.history.append(kid)
        patience = self.settings.patience
        if len(self.history) > patience:
            if stalled(self.history[-1 - patience], kid):
                self.learning_rate /= 2
                self.history = [kid]
            else:
                del self.history[0]
        self._set_learning_rate()

    def _set_learning_rate(self) -> None:
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def identity(self) -> dict[str, object]:
        """Names everything that the course of the training depends on, except for when it ends."""

        names = ("channels", "latent", "critic_steps", "batch_size", "learning_rate", "ema", "normalisation")
        names += ("gradient_penalty", "feature_penalty", "evaluate_every", "patience")
        settings = {name: getattr(self.settings, name) for name in names}
        return settings | {"seed": self.seed, "images": digest({"x": self.x})}

    def save(self, path: Path) -> None:
        """Writes all that is needed to go on from here."""

        tensors = self._networks()
        for name, optimizer in self.optimizers.items():
            for i, state in optimizer.state_dict()["state"].items():
                tensors |= {f"adam.{name}.{i}.{key}": value for key, value in state.items()}
        tensors |= {f"random.{name}": random.get_state() for name, random in self.random.items()}
        tensors |= {f"kid.{i}": kid for i, kid in enumerate(self.history)}
        tensors = {name: x.detach().contiguous().clone() for name, x in tensors.items()}

        done = {"step": self.step, "seconds": self.seconds, "learning_rate": self.learning_rate}
        metadata = {
            "format": "cgm training of MMDGAN",
            "identity": json.dumps(self.identity(), sort_keys=True),
            "progress": json.dumps(done | {"losses": self.losses, "kids": len(self.history)}),
        }
        metadata["sha256"] = digest(tensors, metadata["identity"] + metadata["progress"])
        write_whole(path, to_bytes(tensors, metadata))

    def load(self, path: Path) -> None:
        """Goes on from what `save` wrote; nothing in the file is run.

        Raises:
            ValueError: If the file is damaged or foreign, or belongs to another training.
        """

        try:
            metadata, tensors = read_tensors(path)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: not a checkpoint of MMDGAN, or a damaged one ({error}); remove it") from error

        if metadata.get("format") != "cgm training of MMDGAN" or not {"identity", "progress"} <= metadata.keys():
            raise ValueError(f"{path}: not a checkpoint of MMDGAN; remove it, or use another generator.checkpoint")
        if metadata.get("sha256") != digest(tensors, metadata["identity"] + metadata["progress"]):
            raise ValueError(f"{path}: the checksum is wrong, the checkpoint is damaged; remove it")
        theirs, mine = json.loads(metadata["identity"]), self.identity()
        other = [f"{name}={theirs.get(name)!r}, here {mine[name]!r}" for name in mine if theirs.get(name) != mine[name]]
        if other:
            raise ValueError(f"{path}: from another training ({'; '.join(other)}); use another generator.checkpoint")

        done = json.loads(metadata["progress"])
        expected = self._networks()
        for name in self.optimizers:
            for i, weight in enumerate(getattr(self, name).parameters()):
                adam = {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
                expected |= {f"adam.{name}.{i}.{key}": x for key, x in adam.items()}
        expected |= {f"random.{name}": random.get_state() for name, random in self.random.items()}
        expected |= {f"kid.{i}": torch.zeros(len(self.kid.real)) for i in range(done["kids"])}
        wrong = [name for name in expected.keys() | tensors.keys() if not _alike(expected.get(name), tensors.get(name))]
        if wrong:
            raise ValueError(
                f"{path}: tensors that are missing, unknown, of a wrong shape or dtype, or not finite: "
                f"{', '.join(sorted(wrong))}"
            )

        for prefix, network in self._parts().items():
            network.load_state_dict({key: tensors[f"{prefix}.{key}"] for key in network.state_dict()})
        for name, optimizer in self.optimizers.items():
            count = len(list(getattr(self, name).parameters()))
            state = {
                i: {key: tensors[f"adam.{name}.{i}.{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
                for i in range(count)
            }
            optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
        for name, random in self.random.items():
            random.set_state(tensors[f"random.{name}"])
        self.history = [tensors[f"kid.{i}"] for i in range(done["kids"])]
        self.step, self.seconds = done["step"], done["seconds"]
        self.learning_rate, self.losses = done["learning_rate"], done["losses"]
        self._set_learning_rate()

    def _parts(self) -> dict[str, torch.nn.Module]:
        return {"generator": self.generator, "average": self.average, "critic": self.critic}

    def _networks(self) -> dict[str, Tensor]:
        parts = self._parts().items()
        return {f"{prefix}.{key}": x for prefix, network in parts for key, x in network.state_dict().items()}


def _alike(expected: Tensor | None, found: Tensor | None) -> bool:
    """Tells whether a tensor from a file can take the place of the one expected."""

    if expected is None or found is None or found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    return bool(torch.isfinite(found).all())
