"""Train one MobileNetV2 with two heads, for FER2013's labels and for the FER+ votes, in PyTorch.

    pip install torch
    python scripts/two_heads.py data/fer2013_blend.csv data/ferplus_votes.csv runs/two_heads1 \\
        --weights mobilenet_v2_1.0_imagenet_no_top.weights.h5

Writes fer2013.keras and ferplus.keras into the folder, which a config can name as `model.init`. The
manifests come from scripts/soft_targets.py. In PyTorch, because it trains in bfloat16; it uses a
GPU if there is one, but has only run on CPUs so far. The state is saved after every epoch; the same
command goes on from there.

The learning rate is constant for most of the time and falls to zero in the last epochs, on averaged
weights. A second round, with better targets, goes on from where the first one was before it fell:

    python scripts/soft_targets.py blend data/fer2013 data/fer2013_blend31.csv --share 0.31 \\
        --model runs/ferplus/best_model.keras
    python scripts/soft_targets.py distill data/fer2013_blend31.csv data/fer2013_distilled.csv \\
        --share 0.42 --model runs/fer2013/best_model.keras --model runs/two_heads1/fer2013.keras
    python scripts/two_heads.py data/fer2013_distilled.csv data/ferplus_votes.csv \\
        runs/two_heads2 --start runs/two_heads1/constant.pt

The models in the package are older. docs/experiments.md, no. 27 to 32, tells what such networks
reach; they were trained in more rounds than these two, with targets that changed along the way.
"""

from __future__ import annotations

from emodetect.training.models.registry import build_model  # first, because it sets up TensorFlow

# isort: split
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from emodetect.config import ModelConfig, validate_data
from emodetect.data.dataset import load_dataset
from emodetect.data.sketch import Sketch
from emodetect.emotions import EMOTIONS
from emodetect.errors import EmodetectError
from emodetect.machine.progress import track
from emodetect.model_file.artifact import write_artifact
from emodetect.model_file.metadata import Metadata
from emodetect.training.models.keras_files import save_keras
from emodetect.training.models.litert_conversion import compile_to_litert
from emodetect.training.models.mobilenet import mobilenet_v2

SIZE = 48  # of a crop, in pixels
SEED = 0
BATCH = 128
RATE, WARMUP_STEPS, WEIGHT_DECAY, MAX_NORM = 1.2e-3, 400, 0.05, 5.0
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


FIRST_ROUND = (
    Phase(epochs=21, side=96, ranges=1.0, mixup=0.3),
    Phase(epochs=36, side=80, ranges=1.0, mixup=0.3),
    Phase(epochs=33, side=80, ranges=0.7, mixup=0.1),
    Phase(epochs=10, side=96, ranges=0.8, mixup=0.2, falls=True),
)
SECOND_ROUND = (
    Phase(epochs=66, side=96, ranges=0.7, mixup=0.1),
    Phase(epochs=12, side=112, ranges=0.8, mixup=0.2, falls=True),
)


class Student(nn.Module):
    """Keras' MobileNetV2 (Sandler et al. 2018) with its layers' names, and a head.

    It takes (n, 1, 48, 48) float32 of 0 to 255, and returns (n, outputs) logits. `side` is that of
    the enlarged image, which may change between calls.
    """

    # For each stage: how much it widens, its channels, blocks and stride.
    STAGES = (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.side = SIZE
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        self._add("Conv1", 1, 32, size=3, stride=2, norm="bn_Conv1")
        self.blocks: list[tuple[list[str], str, bool]] = []
        channels = 32
        for growth, out, count, stride in self.STAGES:
            for place in range(count):
                name = f"block_{len(self.blocks)}" if self.blocks else "expanded_conv"
                wide, step = channels * growth, 1 if place else stride
                steps = [f"{name}_depthwise"]
                if growth > 1:
                    steps.insert(0, f"{name}_expand")
                    self._add(steps[0], channels, wide)
                self._add(steps[-1], wide, wide, size=3, stride=step, groups=wide)
                self._add(f"{name}_project", wide, out)
                self.blocks.append((steps, f"{name}_project", step == 1 and channels == out))
                channels = out
        self._add("Conv_1", channels, 1280, norm="Conv_1_bn")
        self.dropout, self.head = nn.Dropout(0.2), nn.Linear(1280, outputs)

    def _add(
        self,
        name: str,
        into: int,
        out: int,
        *,
        size: int = 1,
        stride: int = 1,
        groups: int = 1,
        norm: str = "",
    ) -> None:
        padding = size // 2 if stride == 1 else 0
        conv = nn.Conv2d(into, out, size, stride, padding, groups=groups, bias=False)
        conv.norm = norm or f"{name}_BN"
        self.convs[name] = conv
        self.norms[conv.norm] = nn.BatchNorm2d(out, eps=1e-3, momentum=0.01)

    def _run(self, name: str, x: torch.Tensor) -> torch.Tensor:
        conv = self.convs[name]
        if conv.stride[0] == 2:  # as Keras pads: an even side behind only, an odd one all round
            before = x.shape[-1] % 2
            x = functional.pad(x, (before, 1, before, 1))
        return self.norms[conv.norm](conv(x))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.interpolate(x, self.side, mode="bilinear", align_corners=False) / 127.5 - 1
        x = functional.relu6(self._run("Conv1", x))
        for steps, last, residual in self.blocks:
            y = x
            for step in steps:
                y = functional.relu6(self._run(step, y))
            y = self._run(last, y)
            x = x + y if residual else y
        return self.head(self.dropout(functional.relu6(self._run("Conv_1", x)).mean((2, 3))))

    def take(self, backbone: keras.Model) -> None:
        """Take the weights of a backbone of Keras, which sees a grey image as three channels."""
        for name, conv in self.convs.items():
            (kernel,) = backbone.get_layer(name).get_weights()
            kernel = kernel.transpose((2, 3, 0, 1) if conv.groups > 1 else (3, 2, 0, 1))
            _fill(conv.weight, kernel.sum(1, keepdims=True) if name == "Conv1" else kernel)
        for name, norm in self.norms.items():
            for tensor, values in zip(
                _state(norm), backbone.get_layer(name).get_weights(), strict=True
            ):
                _fill(tensor, values)

    def give(self, model: keras.Model, columns: slice) -> None:
        """Give the weights, and those of some outputs, to a model of `build_model`."""
        backbone = model.get_layer("backbone")
        for name, conv in self.convs.items():
            kernel = _array(conv.weight).transpose(
                (2, 3, 0, 1) if conv.groups > 1 else (2, 3, 1, 0)
            )
            backbone.get_layer(name).set_weights(
                [np.repeat(kernel / 3, 3, axis=2) if name == "Conv1" else kernel]
            )
        for name, norm in self.norms.items():
            backbone.get_layer(name).set_weights([_array(tensor) for tensor in _state(norm)])
        head = [_array(self.head.weight)[columns].T, _array(self.head.bias)[columns]]
        model.get_layer("probabilities").set_weights(head)


def _state(norm: nn.BatchNorm2d) -> list[torch.Tensor]:
    return [norm.weight, norm.bias, norm.running_mean, norm.running_var]


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _fill(tensor: torch.Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))


def augmented(x: torch.Tensor, ranges: float) -> torch.Tensor:
    """Turn, scale, shift, mirror, light, blur, sharpen, coarsen and erase: (n, 1, side, side)."""
    n, side = len(x), x.shape[-1]

    def drawn(most: float, *axes: int, least: float | None = None) -> torch.Tensor:
        least = -most if least is None else least
        return torch.rand(n, *axes, device=x.device) * (most - least) + least

    angle, scale = drawn(0.3 * ranges), torch.exp(drawn(0.2 * ranges))
    mirror = torch.sign(drawn(1.0))
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [
        torch.stack([mirror * cos, -sin, drawn(0.2 * ranges)], 1),
        torch.stack([mirror * sin, cos, drawn(0.2 * ranges)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), x.shape, align_corners=False)
    x = functional.grid_sample(x.float(), grid, padding_mode="border", align_corners=False)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (x - mean) * torch.exp(drawn(0.45 * ranges, 1, 1, 1)) + mean
    x = x + drawn(45 * ranges, 1, 1, 1)

    def sometimes(share: float) -> torch.Tensor:
        return drawn(1.0, 1, 1, 1, least=0.0) < share

    line = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4
    soft = functional.conv2d(
        functional.pad(x, (1, 1, 1, 1), mode="replicate"), (line[:, None] * line)[None, None]
    )
    amount = drawn(1.0, 1, 1, 1, least=-1.2)  # below 0 sharpens
    x = torch.where(sometimes(0.2), x + amount * (soft - x), x)
    coarse = functional.interpolate(
        functional.interpolate(x, side // 2, mode="area"), side, mode="bilinear"
    )
    x = torch.where(sometimes(0.1), coarse, x)
    noise = torch.randn_like(x) * drawn(12, 1, 1, 1, least=1.0)
    x = torch.where(sometimes(0.2), x + noise, x)
    place = torch.arange(side, device=x.device)
    down, along = ((place - drawn(side, 1, least=0.0)).abs() for _ in range(2))
    high, wide = (drawn(0.2 * side, 1, least=0.05 * side) for _ in range(2))
    box = ((down < high)[:, :, None] & (along < wide)[:, None, :])[:, None]
    gray = drawn(255, 1, 1, 1, least=0.0)
    return torch.where(box & sometimes(0.35 * ranges), gray, x).clamp(0, 255)


def mixed(
    x: torch.Tensor, targets: torch.Tensor, alpha: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix a batch with itself: all pixels (mixup) or, of 3 batches in 10, a box (CutMix)."""
    if alpha == 0:
        return x, targets
    share, side = float(torch.distributions.Beta(alpha, alpha).sample()), x.shape[-1]
    other = x.roll(1, 0)
    if torch.rand(()) < 0.3:
        half, middle = (1 - share) ** 0.5 * side / 2, torch.rand(2) * side
        top, left = ((middle - half).round().int().clamp(0, side)).tolist()
        bottom, right = ((middle + half).round().int().clamp(0, side)).tolist()
        x = x.clone()
        x[:, :, top:bottom, left:right] = other[:, :, top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / side**2
    else:
        x = share * x + (1 - share) * other
    return x, share * targets + (1 - share) * targets.roll(1, 0)


def faces_and_targets(
    manifests: tuple[Path, Path],
) -> tuple[torch.Tensor, list[torch.Tensor], Sketch]:
    """Return the training images of both manifests, their targets in each, and their sketch.

    Returns:
        (n, 1, 48, 48) uint8 crops; for each manifest, (n, emotions) float32, zeros for an image
        that it does not list, which then adds nothing to the loss.
    """
    images: dict[Path, np.ndarray] = {}
    listed, sketch = [], Sketch()
    for manifest in manifests:
        data = {"source": "manifest", "path": str(manifest), "soft_labels": True}
        dataset = load_dataset(validate_data(data, origin=str(manifest)), seed=SEED)
        rows = dataset.indices("train")
        paths = [dataset.root / path for path in dataset.paths[rows]]
        images.update(zip(paths, dataset.images[rows], strict=True))
        listed.append((paths, dataset.targets[rows]))
        sketch = sketch.with_images_of(dataset.sketch(("train",)))
    place = {path: number for number, path in enumerate(images)}
    targets = []
    for paths, known in listed:
        columns = torch.zeros(len(images), known.shape[1])
        columns[[place[path] for path in paths]] = torch.from_numpy(known)
        targets.append(columns)
    return torch.from_numpy(np.stack(list(images.values()))).permute(0, 3, 1, 2), targets, sketch


def batches(count: int) -> Iterator[torch.Tensor]:
    """Yield the positions of shuffled batches; the rest is left for another epoch."""
    order = torch.randperm(count)
    for start in range(0, count - BATCH + 1, BATCH):
        yield order[start : start + BATCH]


class Training:
    """A student, its averaged weights and its optimizer, saved after every epoch."""

    def __init__(self, student: Student) -> None:
        self.student = student.to(DEVICE)
        self.averaged = {name: value.clone() for name, value in student.state_dict().items()}
        matrices = [weight for weight in student.parameters() if weight.ndim > 1]
        vectors = [weight for weight in student.parameters() if weight.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": WEIGHT_DECAY},
                {"params": vectors, "weight_decay": 0.0},
            ],
            lr=RATE,
        )
        self.step = 0

    def save(self, path: Path, *, epoch: int) -> None:
        """Write the state in one step."""
        partial = path.with_suffix(".new")
        state = {
            "student": self.student.state_dict(),
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
        self.student.load_state_dict(state["student"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.averaged, self.step = state["averaged"], state["step"]
        return int(state["epoch"])

    def learn(
        self, images: torch.Tensor, targets: list[torch.Tensor], *, phase: Phase, left: float
    ) -> None:
        """Take one step; `left` is what the learning rate is multiplied by."""
        for group in self.optimizer.param_groups:
            group["lr"] = RATE * min(1, (self.step + 1) / WARMUP_STEPS) * left
        mixup = 0 if phase.falls and left < 1 - SHARPENED else phase.mixup
        x, target = mixed(
            augmented(images.to(DEVICE), phase.ranges), torch.cat(targets, 1).to(DEVICE), mixup
        )
        with torch.autocast(DEVICE, torch.bfloat16):
            logits = self.student(x).float()
        sizes = [columns.shape[1] for columns in targets]
        heads = zip(logits.split(sizes, 1), target.split(sizes, 1), strict=True)
        loss = sum(
            -(wanted * functional.log_softmax(own, 1)).sum(1).mean() for own, wanted in heads
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.student.parameters(), MAX_NORM)
        self.optimizer.step()
        self.step += 1
        momentum = min(AVERAGED, self.step / (self.step + 9))
        for name, value in self.student.state_dict().items():
            if value.is_floating_point():
                self.averaged[name].lerp_(value, 1 - momentum)

    @torch.no_grad()
    def finish(self, images: torch.Tensor) -> None:
        """Take the averaged weights, and measure batch norm's statistics for them."""
        self.student.load_state_dict(self.averaged)
        for module in self.student.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None  # the mean of all batches
        self.student.train()
        for _, rows in zip(range(STATISTICS_BATCHES), batches(len(images)), strict=False):
            self.student(augmented(images[rows].to(DEVICE), 1.0))
        self.student.eval()


def write_model(
    path: Path,
    student: Student,
    emotions: tuple[str, ...],
    *,
    columns: slice,
    images: torch.Tensor,
    sketch: Sketch,
) -> None:
    """Write an artifact of one head, which a config can name as `model.init`.

    It remembers the images that trained it by their sketch.

    Raises AssertionError if Keras answers otherwise than PyTorch for (n, 1, 48, 48) images.
    """
    config = ModelConfig(name="mobilenet_v2", weights="none", backbone_size=student.side)
    model = build_model(
        config, image_size=SIZE, color="gray", class_count=len(emotions), weights="none"
    )
    student.give(model, columns)
    with torch.no_grad():
        expected = student(images.to(DEVICE)).float()[:, columns].softmax(1).cpu().numpy()
    np.testing.assert_allclose(model(images.permute(0, 2, 3, 1).numpy()), expected, atol=1e-3)
    plain = path.with_suffix(".plain.keras")
    save_keras(model, plain)
    metadata = Metadata(
        name=path.stem,
        emotions=emotions,
        image_size=SIZE,
        color="gray",
        dataset={"trained": sketch.text},
    )
    write_artifact(path, keras_file=plain, compiled=compile_to_litert(model), metadata=metadata)
    plain.unlink()


@click.command()
@click.argument("labels", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("votes", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--weights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="ImageNet weights of Keras' MobileNetV2, without its top.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Another run's constant.pt, for a second round.",
)
def main(labels: Path, votes: Path, out: Path, weights: Path | None, start: Path | None) -> None:
    """Train on the manifests LABELS and VOTES, and write fer2013.keras and ferplus.keras to OUT."""
    if (weights is None) == (start is None):
        raise click.UsageError("expected --weights for a first round, or --start for a second.")
    torch.manual_seed(SEED)
    heads = {"fer2013": tuple(e for e in EMOTIONS if e != "contempt"), "ferplus": EMOTIONS}
    images, targets, sketch = faces_and_targets((labels, votes))
    click.echo(f"{len(images):,} training images")
    student = Student(sum(map(len, heads.values())))
    if weights:
        student.take(mobilenet_v2(ModelConfig(name="mobilenet_v2"), str(weights), 3))
    training = Training(student)
    out.mkdir(parents=True, exist_ok=True)
    state, epoch, done = out / "state.pt", 0, 0
    if state.exists():
        done = training.load(state)
    elif start:
        training.load(start)
    for phase in SECOND_ROUND if start else FIRST_ROUND:
        student.side = phase.side
        for number in range(phase.epochs):
            epoch += 1
            if epoch <= done:
                continue
            if phase.falls and number == 0:
                training.save(out / "constant.pt", epoch=0)
            student.train()
            steps = len(images) // BATCH
            rows = track(batches(len(images)), description=f"epoch {epoch}", total=steps)
            for step, chosen in enumerate(rows):
                share = (number + step / steps) / phase.epochs
                training.learn(
                    images[chosen],
                    [columns[chosen] for columns in targets],
                    phase=phase,
                    left=1 - share if phase.falls else 1.0,
                )
            training.save(state, epoch=epoch)
            click.echo(f"epoch {epoch}")
    training.finish(images)
    first = 0
    for name, emotions in heads.items():
        columns = slice(first, first + len(emotions))
        write_model(
            out / f"{name}.keras",
            student,
            emotions,
            columns=columns,
            images=images[:BATCH].float(),
            sketch=sketch,
        )
        first = columns.stop


if __name__ == "__main__":
    try:
        main()
    except EmodetectError as error:
        sys.exit(f"Error: {error}")
