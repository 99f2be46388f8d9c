"""MobileNets in PyTorch, with a head for FER2013's labels and one for the FER+ votes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import torch
from torch import nn
from torch.nn import functional

SIZE = 48  # of a crop, in pixels
BGR_MEANS = np.array([103.939, 116.779, 123.68], np.float32)  # what networks made in Caffe subtract


class TwoHeads(nn.Module):
    """A MobileNet and a linear layer.

    It takes (n, 1, 48, 48) float32 of 0 to 255, and returns (n, outputs) logits. `side` is that of
    the enlarged image, which may change between calls.
    """

    side = SIZE

    def __init__(self) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()

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

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, features): what the heads see."""
        x = functional.interpolate(x, self.side, mode="bilinear", align_corners=False) / 127.5 - 1
        return self._maps(x).mean((2, 3))

    def classified(self, features: torch.Tensor) -> torch.Tensor:
        """Return (n, outputs) logits."""
        return self.head(self.dropout(features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classified(self.features(x))


class MobileNetV2(TwoHeads):
    """Keras' MobileNetV2 (Sandler et al. 2018), with its layers' names."""

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

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu6(self._run("Conv1", x))
        for steps, last, residual in self.blocks:
            y = x
            for step in steps:
                y = functional.relu6(self._run(step, y))
            y = self._run(last, y)
            x = x + y if residual else y
        return functional.relu6(self._run("Conv_1", x))

    def take(self, models: Sequence[keras.Model]) -> None:
        """Take the backbone of the first of these models of `build_model`, and the heads of all.

        The backbone sees a grey image as three channels.
        """
        backbone = models[0].get_layer("backbone")
        for name, conv in self.convs.items():
            (kernel,) = backbone.get_layer(name).get_weights()
            kernel = kernel.transpose((2, 3, 0, 1) if conv.groups > 1 else (3, 2, 0, 1))
            _fill(conv.weight, kernel.sum(1, keepdims=True) if name == "Conv1" else kernel)
        for name, norm in self.norms.items():
            for tensor, values in zip(
                _state(norm), backbone.get_layer(name).get_weights(), strict=True
            ):
                _fill(tensor, values)
        heads = [model.get_layer("probabilities").get_weights() for model in models]
        _fill(self.head.weight, np.concatenate([kernel for kernel, _ in heads], 1).T)
        _fill(self.head.bias, np.concatenate([bias for _, bias in heads]))

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


class MobileNetV1(TwoHeads):
    """MobileNet (Howard et al. 2017), with the layers' names of Savchenko's (2019)."""

    # For each block: its channels and stride.
    BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5)
    BLOCKS += ((1024, 2), (1024, 1))

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self._add("conv1", 1, 32, size=3, stride=2)
        channels = 32
        for number, (out, stride) in enumerate(self.BLOCKS, 1):
            self._add(
                f"conv_dw_{number}", channels, channels, size=3, stride=stride, groups=channels
            )
            self._add(f"conv_pw_{number}", channels, out)
            channels = out
        self.dropout, self.head = nn.Dropout(0.3), nn.Linear(channels, outputs)

    def _maps(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.convs:
            x = functional.relu6(self._run(name, x))
        return x

    @torch.no_grad()
    def take(self, model: Path, faces: torch.Tensor) -> None:
        """Take the weights of faceres-deep.json and .bin, of the npm package human-models.

        It is Savchenko's (2019) network, which knows 9,131 people (VGGFace2, Cao et al. 2018), and
        their age and gender. Batch norm was folded into its weights; it is restored, with the
        statistics of (n, 1, 48, 48) faces, so that the network answers as before.
        """
        given = _tensorflow_js(model)
        self.eval()
        kernel = given["conv1/convolution/merged_input"]
        # Where that network has colours less their means, this one has a gray of -1 to 1.
        moved = np.einsum("hwio,i->o", kernel, 127.5 - BGR_MEANS)
        x = functional.interpolate(faces, self.side, mode="bilinear", align_corners=False)
        x = x / 127.5 - 1
        for name, conv in self.convs.items():
            offset = given[f"{name}_bn/batchnorm_1/sub"]
            factor = np.ones_like(offset)
            if conv.groups > 1:
                kernel = given[f"{name}/depthwise_kernel"].transpose(2, 3, 0, 1)
                factor = given[f"{name}_bn/batchnorm_1/mul"]
            else:
                kernel = given[f"{name}/convolution/merged_input"].transpose(3, 2, 0, 1)
            if name == "conv1":
                kernel, offset = kernel.sum(1, keepdims=True) * 127.5, offset + moved
            _fill(conv.weight, kernel)
            norm = self.norms[conv.norm]
            for tensor, values in zip(_state(norm), (1, 0, 0, 1 - norm.eps), strict=True):
                tensor.fill_(values)
            y = self._run(name, x)
            mean, variance = y.mean((0, 2, 3)), y.var((0, 2, 3))
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            norm.weight.copy_(torch.from_numpy(factor) * torch.sqrt(variance + norm.eps))
            norm.bias.copy_(torch.from_numpy(offset) + torch.from_numpy(factor) * mean)
            x = functional.relu6(norm(y))


def _tensorflow_js(model: Path) -> dict[str, np.ndarray]:
    """Return the weights of a graph model of TensorFlow.js by their names."""
    manifest = json.loads(model.read_text())["weightsManifest"]
    data = model.with_suffix(".bin").read_bytes()
    found, start = {}, 0
    for entry in (weight for group in manifest for weight in group["weights"]):
        count = int(np.prod(entry["shape"], dtype=int))
        array = np.frombuffer(data, entry["dtype"], count, start)
        found[entry["name"]] = array.reshape(entry["shape"]).copy()  # writable, for PyTorch
        start += array.nbytes
    return found


def _state(norm: nn.BatchNorm2d) -> list[torch.Tensor]:
    return [norm.weight, norm.bias, norm.running_mean, norm.running_var]


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()


def _fill(tensor: torch.Tensor, values: np.ndarray) -> None:
    with torch.no_grad():
        tensor.copy_(torch.from_numpy(np.ascontiguousarray(values)))
