"""Hugging Face models from a configuration, with seeded weights and nothing downloaded."""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, did_you_mean

#: Above this many parameters a model is built on the meta device: shapes are all that a trace needs.
MAX_REAL_PARAMETERS = 1_000_000_000
#: Tokens in the example, unless the model has fewer positions.
LENGTH = 128
#: Samples of sound in the example, one second at 16 kHz.
SAMPLES = 16_000


def builder(text: str) -> Callable[..., nn.Module]:
    """The function that builds `hf:TEXT`, of options that override the configuration.

    Args:
        text: a model type (`bert`, `llama`: its default configuration), a config.json, or its folder.

    Raises:
        ConfigError: transformers is not installed, no such type, or the file is no configuration.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ConfigError(f"hf:{text} needs transformers, which is not installed: pip install -e '.[hf]'")
    values = _values(text)

    def build(**options: Any) -> nn.Module:
        return _build(text, values, options)

    return build


def _values(text: str) -> dict[str, Any]:
    """The configuration as plain values; for a type its name alone."""
    from transformers import CONFIG_MAPPING

    path = Path(text)
    if path.is_dir():
        path = path / "config.json"
    if path.suffix != ".json":
        if text not in CONFIG_MAPPING:
            raise ConfigError(
                f"hf:{text} is neither a config.json nor a model type of transformers."
                f"{did_you_mean(text, CONFIG_MAPPING.keys())}"
            )
        return {"model_type": text}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a configuration: {error}") from error
    kind = values.get("model_type") if isinstance(values, dict) else None
    if kind not in CONFIG_MAPPING:
        raise ConfigError(
            f"{path}: model_type must be a model type of transformers, but got {kind!r}."
            f"{did_you_mean(str(kind), CONFIG_MAPPING.keys())}"
        )
    return dict(values)


def _build(text: str, values: dict[str, Any], options: dict[str, Any]) -> nn.Module:
    from transformers import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[values["model_type"]]
    known = {"num_labels", *config_class().to_dict(), *config_class.attribute_map}
    for key in options:
        if key not in known:
            raise ConfigError(f"hf:{text}: its configuration has no {key!r}.{did_you_mean(key, known)}")
    try:
        config = config_class.from_dict({**values, **options})
        make = _model_class(values["model_type"], config)
        with torch.device("meta"):
            model: nn.Module = make(config)
        if sum(parameter.numel() for parameter in model.parameters()) <= MAX_REAL_PARAMETERS:
            model = make(config)
    except ConfigError:
        raise
    except Exception as error:  # its checks are of every kind
        raise ConfigError(
            f"hf:{text}: this configuration makes no model: {' '.join(str(error).split())}"
        ) from error
    return model.eval()


def _model_class(kind: str, config: Any) -> Callable[[Any], nn.Module]:
    """The architecture that the configuration names, else what this type is used for."""
    import transformers
    from transformers.models.auto import modeling_auto as auto

    for name in config.architectures or ():
        if hasattr(transformers, name):
            found: Callable[[Any], nn.Module] = getattr(transformers, name)
            return found
    uses: list[Mapping[str, Any]] = [
        auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
        auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    ]
    if not hasattr(config, "vision_config"):
        uses.append(auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES)
    if kind not in auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES:
        uses.append(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    for mapping in [*uses, auto.MODEL_MAPPING_NAMES]:
        name = mapping.get(kind)
        if name is not None:
            found = getattr(transformers, name if isinstance(name, str) else name[0])
            return found
    raise ConfigError(f"hf:{kind}: transformers has no model of this type, only parts of one.")


# ---- examples ----------------------------------------------------------------------------------------


def is_hugging_face(model: nn.Module) -> bool:
    """The model comes from transformers."""
    return type(model).__module__.startswith("transformers.")


def example(model: Any, batch: int, shape: Sequence[int] | None = None) -> tuple[Any, ...]:
    """Positional arguments of the forward: tokens, pixels or sound, and tokens for a decoder.

    Args:
        model: of transformers.
        batch: inputs.
        shape: of one input: (length,) of tokens, (C, H, W) of an image, ... ; None is the model's own.

    Raises:
        ConfigError: the model reads something else.
    """
    name, config = model.main_input_name, model.config
    given = {name: _main_input(type(model).__name__, name, config, batch, shape)}
    parameters = list(inspect.signature(model.forward).parameters)
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in parameters:
        length = given[name].shape[1] if name == "input_ids" else _length(config)
        given["decoder_input_ids"] = _tokens(config, batch, length)
    elif "input_ids" in parameters and "input_ids" not in given:
        given["input_ids"] = _tokens(config.get_text_config(), batch, _length(config.get_text_config()))
    elif "pixel_values" in parameters and hasattr(config, "vision_config"):
        given["pixel_values"] = _pixels(config.vision_config, batch, None)
    last = max(parameters.index(key) for key in given)
    return tuple(given.get(key) for key in parameters[: last + 1])


def _main_input(model: str, name: str, config: Any, batch: int, shape: Sequence[int] | None) -> Tensor:
    if name == "input_ids":
        text = config.get_text_config()
        return _tokens(text, batch, shape[0] if shape else _length(text))
    if name == "pixel_values":
        return _pixels(getattr(config, "vision_config", config), batch, shape)
    if name == "input_features" and hasattr(config, "num_mel_bins"):
        frames = 2 * getattr(config, "max_source_positions", LENGTH)
        return _normal(batch, tuple(shape or (config.num_mel_bins, frames)))
    if name == "input_values":
        return _normal(batch, tuple(shape or (SAMPLES,)))
    raise ConfigError(
        f"{model} reads {name!r}, for which there is no example: call trace(model, ...) with your own."
    )


def _length(config: Any) -> int:
    """Tokens in the example."""
    for key in ("max_position_embeddings", "n_positions", "max_target_positions"):
        positions = getattr(config, key, None)
        if isinstance(positions, int) and positions > 2:
            return min(LENGTH, positions - 2)  # some count from an offset of two
    return LENGTH


def _tokens(config: Any, batch: int, length: int) -> Tensor:
    row: Tensor = torch.arange(1, length + 1) % config.vocab_size
    return row.repeat(batch, 1)


def _pixels(config: Any, batch: int, shape: Sequence[int] | None) -> Tensor:
    size = getattr(config, "image_size", 224)
    height, width = size if isinstance(size, (list, tuple)) else (size, size)
    return _normal(batch, tuple(shape or (getattr(config, "num_channels", 3), height, width)))


def _normal(batch: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(0))
