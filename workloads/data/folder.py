"""Any folder of images, one folder per class: the layout that torchvision calls ImageFolder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hwmodel.errors import ConfigError
from workloads.data.dataset import Dataset, Normalise, ValidationFrom, make_dataset, seeded_order
from workloads.options import check_count

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
_WHAT = "data 'folder'"

#: (path, label)
Item = tuple[Path, int]


def image_folder(
    path: str | Path,
    size: int = 32,
    channels: int = 3,
    seed: int = 0,
    validation: float | str = 0.1,
    test: float = 0.1,
    limit: int | None = None,
    normalize: Normalise = "train",
) -> Dataset:
    """Images in memory, resized so that the short side is `size`, the middle square kept.

    PATH/CLASS/IMAGE, or PATH/{train,val,test}/CLASS/IMAGE. A split that has no folder of its own is drawn from the
    training images of every class. Classes are numbered by name.

    Args:
        path: the folder.
        size: of the square that is kept [pixel].
        channels: 1 (grey) or 3.
        seed: of the drawing.
        validation, test: share of each class that is drawn where there is no folder, in (0, 1), at least one image;
            validation: "test" cuts half of each class of the test folder off instead, for weights that were trained
            on all training images.
        limit: keep so many training images, drawn by the seed; None keeps all.
        normalize: see `make_dataset`.

    Raises:
        ConfigError: no folder, fewer than two classes, classes that differ between the splits, a class with too few
            images to split, or a file that is no image.
    """
    check_count(_WHAT, "size", size)
    check_count(_WHAT, "seed", seed, least=0)
    if channels not in (1, 3):
        raise ConfigError(f"{_WHAT}: channels must be 1 or 3, but got channels={channels!r}")
    for name, share in (("validation", validation), ("test", test)):
        if share != "test" and (isinstance(share, str) or not 0 < share < 1):
            also = ' or "test"' if name == "validation" else ""
            raise ConfigError(f"{_WHAT}: `0 < {name} < 1`{also} must hold, but got {name}={share!r}")
    root = Path(path)
    if not root.is_dir():
        raise ConfigError(f"{_WHAT}: no folder {root}")
    classes, parts = _parts(root)
    origin: ValidationFrom = "own" if "val" in parts else "train"
    if validation == "test":
        if "test" not in parts:
            raise ConfigError(f"{_WHAT}: validation: test needs the images of a folder {root / 'test'}")
        parts["test"], parts["val"] = _draw(parts["test"], 0.5, seed, "validation")
        origin = "test"
    for part, share in (("test", test), ("val", validation)):
        if part not in parts:
            parts["train"], parts[part] = _draw(parts["train"], float(share), seed, part)
    train = [parts["train"][index] for index in seeded_order(len(parts["train"]), seed).tolist()]
    if limit is not None:
        train = train[: check_count(_WHAT, "limit", limit)]
    loaded = [_load(items, size, channels) for items in (train, parts["val"], parts["test"])]
    return make_dataset(
        root.resolve().name, (loaded[0], loaded[1], loaded[2]), len(classes), f"images in {root.resolve().name}",
        normalize=normalize, validation_from=origin,
    )  # fmt: skip


def _parts(root: Path) -> tuple[list[str], dict[str, list[Item]]]:
    """Class names, and the images of each split that has a folder."""
    folders = {"train": root}
    if (root / "train").is_dir():
        names = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
        folders = {
            part: root / name for part, options in names.items() for name in options if (root / name).is_dir()
        }
    classes = _classes(folders["train"])
    if len(classes) < 2:
        raise ConfigError(
            f"{_WHAT}: {folders['train']} must hold a folder per class, two at least, but holds {classes}"
        )
    for folder in folders.values():
        if _classes(folder) != classes:
            raise ConfigError(f"{_WHAT}: {folder} must hold the classes {classes}, but holds {_classes(folder)}")
    return classes, {part: _items(folder, classes) for part, folder in folders.items()}


def _classes(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir())


def _items(folder: Path, classes: Sequence[str]) -> list[Item]:
    items = []
    for label, name in enumerate(classes):
        found = sorted(file for file in (folder / name).rglob("*") if file.suffix.lower() in SUFFIXES)
        if not found:
            raise ConfigError(f"{_WHAT}: {folder / name} has no image ({', '.join(sorted(SUFFIXES))})")
        items += [(file, label) for file in found]
    return items


def _draw(items: Sequence[Item], share: float, seed: int, part: str) -> tuple[list[Item], list[Item]]:
    """(what stays, what is drawn), the same share of every class."""
    stays: list[Item] = []
    drawn: list[Item] = []
    for label in sorted({label for _, label in items}):
        mine = [item for item in items if item[1] == label]
        count = max(1, round(share * len(mine)))
        if count >= len(mine):
            raise ConfigError(
                f"{_WHAT}: {mine[0][0].parent} has {len(mine)} images, too few to draw {count} for {part}"
            )
        order = seeded_order(len(mine), seed).tolist()
        drawn += [mine[index] for index in sorted(order[:count])]
        stays += [mine[index] for index in sorted(order[count:])]
    return stays, drawn


def _load(items: Sequence[Item], size: int, channels: int) -> tuple[Tensor, Tensor]:
    images = np.stack([_image(path, size, channels) for path, _ in items])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0, torch.tensor([label for _, label in items])


def _image(path: Path, size: int, channels: int) -> np.ndarray:
    """(size, size, channels) uint8."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            square = ImageOps.fit(image.convert("L" if channels == 1 else "RGB"), (size, size))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: cannot be read as an image: {error}") from None
    return np.asarray(square, dtype=np.uint8).reshape(size, size, channels)
