"""Augmentation and mixing of batches of faces, in PyTorch."""

from __future__ import annotations

import torch
from torch.nn import functional


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
    x = torch.where(sometimes(0.25), x + amount * (soft - x), x)
    coarse = functional.interpolate(
        functional.interpolate(x, side // 2, mode="area"), side, mode="bilinear"
    )
    x = torch.where(sometimes(0.2), coarse, x)
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
