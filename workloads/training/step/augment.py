"""Random changes of training images, on the device where they are; each image has its own draws.

The draws come from a generator on the CPU, so that one seed gives the same images on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from workloads.training.settings import TrainSettings


def augmented(images: Tensor, settings: TrainSettings, generator: torch.Generator) -> Tensor:
    """Shift, crop, flip and cutout as the settings say; anything but (N, C, H, W) passes unchanged."""
    if images.dim() != 4:
        return images
    images = shifted(images, settings.shift, generator)
    images = cropped(images, settings.crop, generator)
    if settings.flip:
        images = flipped(images, generator)
    return cut_out(images, settings.cutout, generator)


def shifted(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image moved by its own random (dy, dx), at most `pixels` each way; the edge is repeated.

    Args:
        images: (N, C, H, W).
        pixels: 0 returns the images.
        generator: on the CPU.
    """
    return _moved(images, pixels, generator, "replicate")


def cropped(images: Tensor, pixels: int, generator: torch.Generator) -> Tensor:
    """Each image padded with zeros by `pixels` on all sides, and cropped at random to its size.

    Args:
        images: (N, C, H, W).
        pixels: 4 is usual for CIFAR; 0 returns the images.
        generator: on the CPU.

    Source: He et al., Deep Residual Learning, CVPR 2016, section 4.2.
    """
    return _moved(images, pixels, generator, "constant")


def _moved(images: Tensor, pixels: int, generator: torch.Generator, padding: str) -> Tensor:
    if pixels == 0:
        return images
    n, c, h, w = images.shape
    padded = functional.pad(images, (pixels, pixels, pixels, pixels), mode=padding)
    moves = torch.randint(0, 2 * pixels + 1, (2, n), generator=generator).to(images.device)
    rows = (moves[0, :, None] + torch.arange(h, device=images.device))[:, None, :, None]
    columns = (moves[1, :, None] + torch.arange(w, device=images.device))[:, None, None, :]
    samples = torch.arange(n, device=images.device)[:, None, None, None]
    channels = torch.arange(c, device=images.device)[None, :, None, None]
    return padded[samples, channels, rows, columns]


def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability 1/2. (N, C, H, W)."""
    chosen = torch.randint(0, 2, (len(images), 1, 1, 1), generator=generator).to(images.device)
    return torch.where(chosen.bool(), images.flip(-1), images)


def cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """A square set to zero in each image; its centre is any pixel, and what reaches beyond the edge is lost.

    Args:
        images: (N, C, H, W).
        side: of the square [pixels]; 0 returns the images.
        generator: on the CPU.

    Source: DeVries and Taylor, Improved Regularization of CNNs with Cutout, arXiv:1708.04552, section 3.2.
    """
    if side == 0:
        return images
    n, _, h, w = images.shape
    rows = _covered(n, h, side, generator)[:, None, :, None]
    columns = _covered(n, w, side, generator)[:, None, None, :]
    return images.masked_fill((rows & columns).to(images.device), 0.0)


def _covered(count: int, size: int, side: int, generator: torch.Generator) -> Tensor:
    """Positions within the square along one dim, (count, size)."""
    start = torch.randint(0, size, (count, 1), generator=generator) - side // 2
    index = torch.arange(size)
    return (index >= start) & (index < start + side)
