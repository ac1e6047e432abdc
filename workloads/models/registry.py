"""Models by name, from timm or Hugging Face, or a file of the user; seeded, with an example to trace them on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hwmodel.deprecated import warn_old
from hwmodel.errors import ConfigError, HwModelError, did_you_mean
from workloads.finite import non_finite
from workloads.models import huggingface
from workloads.models.dscnn import DSCNN
from workloads.models.lenet import LeNet5
from workloads.models.mobilenet import MobileNetV2
from workloads.models.resnet_cifar import ResNetCifar
from workloads.models.resnet_imagenet import resnet18, resnet50
from workloads.models.transformer import TransformerLM
from workloads.models.vgg_cifar import VGG16
from workloads.options import call_with_options, check_count
from workloads.userfile import function_of

if TYPE_CHECKING:
    from workloads.data.dataset import Dataset

_LOOKALIKES = str.maketrans("oil", "011")
_COUNTS = ("in_channels", "num_classes", "width", "vocab", "dim", "depth", "heads", "context", "image_size")


def _resnet_cifar(blocks: int) -> Callable[..., nn.Module]:
    def build(
        shortcut: Any = "projection", in_channels: int = 3, num_classes: int = 10, width: int = 16
    ) -> nn.Module:
        return ResNetCifar(blocks, shortcut, in_channels, num_classes, width)

    return build


_MODELS: dict[str, Callable[..., nn.Module]] = {
    "dscnn": DSCNN,
    "lenet5": LeNet5,
    "mobilenetv2": MobileNetV2,
    **{f"resnet{6 * n + 2}": _resnet_cifar(n) for n in (1, 3, 5, 7, 9)},
    "resnet18": resnet18,
    "resnet50": resnet50,
    "transformer": TransformerLM,
    "vgg16": VGG16,
}


def model_names() -> list[str]:
    """The registered names, sorted."""
    return sorted(_MODELS)


def load_model(name: str, *, seed: int = 0, **options: Any) -> nn.Module:
    """Build a model with seeded initial weights.

    Args:
        name: a registered name, `timm:NAME`, `hf:CONFIG` (a config.json, its folder, or a model type such as
            `bert` for its default configuration), or `FILE.py:function`, a function of the options
            that returns a module, or a module and a tuple of example arguments.
        seed: of the initial weights. The global random state is left as it was.
        options: of the model, such as `num_classes`, `in_channels`, `shortcut` (CIFAR ResNets); `width` of every
            network on images is the output channels of its first convolution, and all other layers follow.

    Raises:
        ConfigError: unknown name or option (with the nearest one), timm not installed, a file that
            cannot be read or does not return a module.

    Example:
        >>> load_model("resnet20", shortcut="pad").layer1[0].conv1.weight.shape
        torch.Size([16, 16, 3, 3])
    """
    return _build(name, seed, options)[0]


def load_model_with_input(
    name: str, input_shape: Sequence[int] | None = None, batch: int = 1, *, seed: int = 0, **options: Any
) -> tuple[nn.Module, tuple[Any, ...]]:
    """Build a model, and example arguments of its forward to trace it with.

    Args:
        name, seed, options: as for `load_model`.
        input_shape: of one input without the batch, (C, H, W) for images; None takes the model's own:
            its `example_input(batch)`, or what the function in FILE.py returned beside it.
        batch: inputs in the example.

    Returns:
        (model, args).

    Raises:
        ConfigError: as for `load_model`; or the model has no example and no shape was given.
    """
    check_count("load_model", "batch", batch)
    model, example = _build(name, seed, options)
    if input_shape is not None:
        for bound in input_shape:
            check_count(f"model {name!r}", "every dim of input_shape", bound)
        return model, _example_of_shape(model, batch, tuple(input_shape))
    if example is not None:
        if batch != 1:
            raise ConfigError(
                f"Model {name!r} brings its own example: give input_shape to trace with batch={batch}."
            )
        return model, example
    own = _own_example(model, batch)
    if own is None:
        raise ConfigError(
            f"Model {name!r} has no example input. Give the shape of one: input_shape=(3, 32, 32) without "
            "the batch, or --input 1,3,32,32 on the command line; or let the function return (module, (example,))."
        )
    return model, own


def options_for(name: str, data: Dataset) -> dict[str, Any]:
    """Options that fit a model built by name to a data set: channels and classes, or context and vocabulary."""
    shape, classes = tuple(data.input_shape), data.num_classes
    if name.startswith("timm:"):
        return {"in_chans": shape[0], "num_classes": classes}
    if name not in _MODELS:
        return {}
    if data.example().is_floating_point():
        return {"in_channels": shape[0], "num_classes": classes}
    return {"context": shape[0], "vocab": classes}


def load_pretrained_npz(model: nn.Module, path: str | Path) -> None:
    """The old name of `workloads.compress.load_weights(path, model)`.

    Raises:
        ConfigError: the file cannot be read, or a name or a shape does not match.
    """
    from workloads.storage.weights import load_weights

    warn_old("load_pretrained_npz(model, path)", "workloads.compress.load_weights(path, model)")
    load_weights(path, model)


# ---- building ----------------------------------------------------------------------------------


def _build(name: str, seed: int, options: Mapping[str, Any]) -> tuple[nn.Module, tuple[Any, ...] | None]:
    """(model, example arguments where its function returned them)."""
    build = _builder(name)
    for option in _COUNTS:
        if option in options and name in _MODELS:
            check_count(f"model {name!r}", option, options[option])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = _called(name, build, options)
    model, example = built if isinstance(built, tuple) and len(built) == 2 else (built, None)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            f"{name}: must return a torch.nn.Module or (module, example arguments), but got {type(model).__name__}"
        )
    if name not in _MODELS:
        _check_finite(name, model)
    if example is not None and not isinstance(example, tuple):
        example = (example,)
    return model, example


def _called(name: str, build: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """What a function that builds a model returns; its own errors, as of an absent device, are the user's."""
    try:
        return call_with_options(f"Model {name!r}", build, options)
    except HwModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(f"Model {name!r} could not be built: {type(error).__name__}: {error}") from error


def _check_finite(name: str, model: nn.Module) -> None:
    """Refuse a checkpoint that went wrong: its density and its accuracy mean nothing."""
    wrong = non_finite(model)
    if wrong:
        raise ConfigError(f"{name}: {wrong} Load an earlier checkpoint.")


def _builder(name: str) -> Callable[..., Any]:
    if name in _MODELS:
        return _MODELS[name]
    kind, separator, rest = name.partition(":")
    if separator and kind == "timm":
        return _timm_builder(rest)
    if separator and kind == "hf":
        return huggingface.builder(rest)
    path, separator, function = name.rpartition(":")
    if separator and path.endswith(".py"):
        return function_of(Path(path), function)
    if name.endswith(".onnx"):
        raise ConfigError(
            f"{name}: an ONNX file can be traced, priced and mapped (workloads.trace_onnx), not trained: "
            "give the PyTorch model for that."
        )
    if name.endswith(".py"):
        raise ConfigError(f"{name}: which function builds the model? Write {name}:FUNCTION.")
    raise ConfigError(
        f"No model {name!r}.{_suggestion(name)} Known: {', '.join(model_names())}; "
        "or timm:NAME, or hf:CONFIG, or FILE.py:FUNCTION."
    )


def _suggestion(name: str) -> str:
    """The nearest name; one that looks the same (O for 0, l for 1) before any other."""
    alike = [known for known in _MODELS if known.translate(_LOOKALIKES) == name.lower().translate(_LOOKALIKES)]
    return f" Did you mean {alike[0]!r}?" if alike else did_you_mean(name, _MODELS)


def _timm_builder(name: str) -> Callable[..., nn.Module]:
    if importlib.util.find_spec("timm") is None:
        raise ConfigError(f"timm:{name} needs timm, which is not installed: pip install -e '.[timm]'")
    try:
        import timm
    except Exception as error:  # a torchvision built for another torch fails in its own ways
        raise ConfigError(
            f"timm:{name}: timm is installed but cannot be imported ({error}). It needs a torchvision built for "
            "this torch: install both from the same index."
        ) from error

    if name not in timm.list_models():
        raise ConfigError(f"timm has no model {name!r}.{did_you_mean(name, timm.list_models())}")

    def build(**options: Any) -> nn.Module:
        model: nn.Module = timm.create_model(name, pretrained=False, **options)
        return model

    return build


def _normal(shape: tuple[int, ...], batch: int = 1) -> Tensor:
    try:
        return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
    except RuntimeError as error:  # torch has no type of its own for memory of the CPU
        raise ConfigError(
            f"an input of shape {(batch, *shape)} does not fit into memory. Give a smaller one."
        ) from error


def _own_example(model: nn.Module, batch: int) -> tuple[Any, ...] | None:
    """What `model.example_input(batch)` makes, or what the configuration of a timm or Hugging Face model says."""
    make_example = getattr(model, "example_input", None)
    if make_example is not None:
        return (make_example(batch),)
    if huggingface.is_hugging_face(model):
        return huggingface.example(model, batch)
    config = getattr(model, "pretrained_cfg", None)
    return (_normal(tuple(config["input_size"]), batch),) if config else None


def _example_of_shape(model: nn.Module, batch: int, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Zeros where the model's own example holds integers (tokens), else standard normal."""
    if huggingface.is_hugging_face(model):
        return huggingface.example(model, batch, shape)
    own = _own_example(model, 1)
    if own is not None and not own[0].is_floating_point():
        return (torch.zeros(batch, *shape, dtype=torch.long),)
    return (_normal(shape, batch),)
