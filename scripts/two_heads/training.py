"""Training a network with two heads, which can be stopped after every epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from networks import TwoHeads
from pictures import augmented, mixed
from torch import nn
from torch.nn import functional

from emodetect.machine.progress import track

BATCH = 128
WARMUP_STEPS, WEIGHT_DECAY, GUESS_DECAY, MAX_NORM = 300, 0.05, 0.01, 5.0
GUESSED = 2.0  # weight of the mean squared error of guessed features
SHARPENED = 0.85  # no mixup after this share of the epochs in which the rate falls
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Phase:
    """Some epochs with the same settings.

    Attributes:
        side: of the network's input, in pixels.
        ranges: of the augmentation, as a factor.
        mixup: alpha of the beta distribution (Zhang et al. 2018).
        falls: whether the learning rate falls to zero instead of staying constant.
        momentum: of the averaged weights.
    """

    epochs: int
    side: int
    ranges: float
    mixup: float
    falls: bool = False
    momentum: float = 0.9995


class Teacher:
    """A trained network that is asked about the very pictures that another one learns from.

    Its features are guessed from those of the learner by a linear layer (Romero et al. 2015): they
    tell more than a few emotions.
    """

    def __init__(
        self,
        network: TwoHeads,
        *,
        shares: tuple[float, ...],
        learner: TwoHeads,
        faces: torch.Tensor,
    ) -> None:
        """Measure the network's features of (n, 1, 48, 48) uint8 faces, to standardise them.

        Args:
            shares: of each head's targets, the share that its answers are.
        """
        self.network, self.shares = network.to(DEVICE).eval(), shares
        with torch.no_grad():
            known = network.features(augmented(faces.to(DEVICE), 1.0))
        self.mean, self.deviation = known.mean(0), known.std(0) + 0.01
        into, out = learner.head.in_features, network.head.in_features
        self.guess = nn.Linear(into, out).to(DEVICE)

    @torch.no_grad()
    def asked(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (n, features), standardised, and (n, outputs) logits."""
        features = self.network.features(x).float()
        logits = self.network.classified(features).float()
        return (features - self.mean) / self.deviation, logits


def batches(count: int) -> Iterator[torch.Tensor]:
    """Yield the positions of shuffled batches; the rest is left for another epoch."""
    order = torch.randperm(count)
    for start in range(0, count - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


class Training:
    """A network, its averaged weights and its optimizer, saved after every epoch."""

    def __init__(self, network: TwoHeads, *, rate: float, teacher: Teacher | None = None) -> None:
        self.network, self.teacher = network.to(DEVICE), teacher
        self.averaged = {name: value.clone() for name, value in network.state_dict().items()}
        matrices = [weight for weight in network.parameters() if weight.ndim > 1]
        vectors = [weight for weight in network.parameters() if weight.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=rate,
        )
        if teacher:
            guess = {"params": list(teacher.guess.parameters()), "weight_decay": GUESS_DECAY}
            self.optimizer.add_param_group(guess)
        self.rate, self.step = rate, 0

    def run(
        self,
        phases: Sequence[Phase],
        images: torch.Tensor,
        targets: list[torch.Tensor],
        *,
        out: Path,
    ) -> None:
        """Train, or go on with what is in `out`; end with the averaged weights.

        Args:
            images: (n, 1, 48, 48) uint8.
            targets: of each head, (n, emotions) float32.
        """
        out.mkdir(parents=True, exist_ok=True)
        state, epoch, done = out / "state.pt", 0, 0
        if state.exists():
            done = self.load(state)
        for phase in phases:
            self.network.side = phase.side
            for number in range(phase.epochs):
                epoch += 1
                if epoch <= done:
                    continue
                self.network.train()
                steps = len(images) // BATCH
                rows = track(batches(len(images)), description=f"epoch {epoch}", total=steps)
                for step, chosen in enumerate(rows):
                    share = (number + step / steps) / phase.epochs
                    self.learn(
                        images[chosen],
                        [columns[chosen] for columns in targets],
                        phase=phase,
                        left=1 - share if phase.falls else 1.0,
                    )
                self.save(state, epoch=epoch)
                click.echo(f"epoch {epoch}")
        self.network.load_state_dict(self.averaged)
        self.network.eval()

    def save(self, path: Path, *, epoch: int) -> None:
        """Write the state in one step."""
        partial = path.with_suffix(".new")
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged,
            "guess": self.teacher.guess.state_dict() if self.teacher else {},
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "epoch": epoch,
        }
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> int:
        """Read the state, and return its epoch."""
        state = torch.load(path, map_location=DEVICE, weights_only=True)
        self.network.load_state_dict(state["network"])
        if self.teacher:
            self.teacher.guess.load_state_dict(state["guess"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged, self.step = state["averaged"], state["step"]
        return int(state["epoch"])

    def learn(
        self, images: torch.Tensor, targets: list[torch.Tensor], *, phase: Phase, left: float
    ) -> None:
        """Take one step; `left` is what the learning rate is multiplied by."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1, (self.step + 1) / WARMUP_STEPS) * left
        mixup = 0 if phase.falls and left < 1 - SHARPENED else phase.mixup
        x, target = mixed(
            augmented(images.to(DEVICE), phase.ranges), torch.cat(targets, 1).to(DEVICE), mixup
        )
        sizes = [columns.shape[1] for columns in targets]
        wanted = target.split(sizes, 1)
        loss = torch.zeros((), device=DEVICE)
        with torch.autocast(DEVICE, torch.bfloat16):
            features = self.network.features(x)
            logits = self.network.classified(features).float()
            if self.teacher:
                known, answers = self.teacher.asked(x)
                error = self.teacher.guess(features).float() - known
                loss = loss + GUESSED * error.square().mean()
                heads = zip(self.teacher.shares, wanted, answers.split(sizes, 1), strict=True)
                wanted = [
                    (1 - share) * own + share * answer.softmax(1) for share, own, answer in heads
                ]
        for own, expected in zip(logits.split(sizes, 1), wanted, strict=True):
            loss = loss - (expected * functional.log_softmax(own, 1)).sum(1).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_NORM)
        self.optimizer.step()
        self.step += 1
        momentum = min(phase.momentum, self.step / (self.step + 9))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - momentum)
