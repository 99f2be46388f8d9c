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
WARMUP_STEPS, WEIGHT_DECAY, MAX_NORM = 400, 0.05, 5.0
AVERAGED = 0.9995  # momentum of the averaged weights
SHARPENED = 0.85  # no mixup after this share of the epochs in which the rate falls
STATISTICS_BATCHES = 30  # from which the statistics of the averaged weights are measured
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True)
class Phase:
    """Some epochs with the same settings.

    Attributes:
        side: of the network's input, in pixels.
        ranges: of the augmentation, as a factor.
        mixup: alpha of the beta distribution (Zhang et al. 2018).
        falls: whether the learning rate falls to zero instead of staying constant.
    """

    epochs: int
    side: int
    ranges: float
    mixup: float
    falls: bool = False


def batches(count: int) -> Iterator[torch.Tensor]:
    """Yield the positions of shuffled batches; the rest is left for another epoch."""
    order = torch.randperm(count)
    for start in range(0, count - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


class Training:
    """A network, its averaged weights and its optimizer, saved after every epoch."""

    def __init__(self, network: TwoHeads, *, rate: float) -> None:
        self.network = network.to(DEVICE)
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
        self.rate, self.step = rate, 0

    def run(
        self,
        phases: Sequence[Phase],
        images: torch.Tensor,
        targets: list[torch.Tensor],
        *,
        out: Path,
        start: Path | None = None,
    ) -> None:
        """Train, or go on with what is in `out`; end with the averaged weights.

        Before the learning rate falls, constant.pt is written there, for another round's `start`.

        Args:
            images: (n, 1, 48, 48) uint8.
            targets: of each head, (n, emotions) float32.
        """
        out.mkdir(parents=True, exist_ok=True)
        state, epoch, done = out / "state.pt", 0, 0
        if state.exists():
            done = self.load(state)
        elif start:
            self.load(start)
        for phase in phases:
            self.network.side = phase.side
            for number in range(phase.epochs):
                epoch += 1
                if epoch <= done:
                    continue
                if phase.falls and number == 0:
                    self.save(out / "constant.pt", epoch=0)
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
        self.finish(images)

    def save(self, path: Path, *, epoch: int) -> None:
        """Write the state in one step."""
        partial = path.with_suffix(".new")
        state = {
            "network": self.network.state_dict(),
            "averaged": self.averaged,
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
        with torch.autocast(DEVICE, torch.bfloat16):
            logits = self.network(x).float()
        sizes = [columns.shape[1] for columns in targets]
        heads = zip(logits.split(sizes, 1), target.split(sizes, 1), strict=True)
        loss = sum(
            -(wanted * functional.log_softmax(own, 1)).sum(1).mean() for own, wanted in heads
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), MAX_NORM)
        self.optimizer.step()
        self.step += 1
        momentum = min(AVERAGED, self.step / (self.step + 9))
        for name, value in self.network.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - momentum)

    @torch.no_grad()
    def finish(self, images: torch.Tensor) -> None:
        """Take the averaged weights, and measure batch norm's statistics for them."""
        self.network.load_state_dict(self.averaged)
        for module in self.network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the mean of all batches
        self.network.train()
        for _, rows in zip(range(STATISTICS_BATCHES), batches(len(images)), strict=False):
            self.network(augmented(images[rows].to(DEVICE), 1.0))
        self.network.eval()
