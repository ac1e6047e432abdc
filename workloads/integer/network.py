"""A whole network in integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from hwmodel.errors import ConfigError, check_names, check_one_of
from workloads.compress.calibration import check_calibrated, modes_kept
from workloads.integer.accumulate import Accumulator
from workloads.integer.build import Arithmetic, Builder
from workloads.integer.folding import normalises_channels
from workloads.integer.grids import Grids, Seen, Watcher
from workloads.integer.reading import read_graph, trace_forward
from workloads.integer.requantize import DEFAULT_BITS, MULTIPLIERS, ROUNDINGS, Multiplier, Rounding
from workloads.integer.stages import join
from workloads.integer.steps import LayerStep, Step

if TYPE_CHECKING:
    import pandas as pd

MAX_STREAM_BITS = 16


class IntegerNetwork(nn.Module):
    """Images in, scores out, integers between: build it with `integerize`.

    Floating point is used twice: to quantize the input, and to give the output's integers their scale. It has no
    parameters and no gradient, and runs on the CPU. Changing the model afterwards does not change it.

    Args:
        steps: in order.
        output: name of the step whose values are returned.
    """

    def __init__(self, steps: tuple[Step, ...], output: str) -> None:
        super().__init__()
        self.steps = steps
        self.output = output

    @property
    def layers(self) -> dict[str, LayerStep]:
        """Convolutions and linear layers by name, in order."""
        return {step.name: step for step in self.steps if isinstance(step, LayerStep)}

    @torch.no_grad()
    def codes(self, x: Tensor) -> dict[str, Tensor]:
        """Every tensor of the network by name of its step: uint8, int8, int16 or int32.

        Args:
            x: (N, ...) floating point, as for the model.
        """
        tensors: dict[str, Tensor] = {}
        for step in self.steps:
            tensors[step.name] = step.run([tensors[source] for source in step.inputs] or [x])
        return tensors

    @torch.no_grad()
    def resume(self, tensors: Mapping[str, Tensor], changed: str) -> Tensor:
        """Scores when only the layer `changed` is not as it was when `codes` gave `tensors`."""
        fresh: dict[str, Tensor] = {}
        for step in self.steps:
            if step.name == changed or any(source in fresh for source in step.inputs):
                fresh[step.name] = step.run([fresh.get(source, tensors[source]) for source in step.inputs])
        return self.scores(fresh.get(self.output, tensors[self.output]))

    def scores(self, codes: Tensor) -> Tensor:
        """Values of the output's integers, float64."""
        step = next(step for step in self.steps if step.name == self.output)
        if isinstance(step, LayerStep) and step.requant is None:
            dims = [-1 if dim == step.axis % codes.dim() else 1 for dim in range(codes.dim())]
            return codes.double() * step.scale.reshape(dims)
        return step.grid.values(codes)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """(N, ...) -> what the model returns, float64. Tensors are freed when nothing reads them any more."""
        last_use = {source: step.name for step in self.steps for source in step.inputs}
        tensors: dict[str, Tensor] = {}
        for step in self.steps:
            tensors[step.name] = step.run([tensors[source] for source in step.inputs] or [x])
            for source in dict.fromkeys(step.inputs):
                if last_use[source] == step.name and source != self.output:
                    del tensors[source]
        return self.scores(tensors[self.output])

    def with_registers(self, registers: Mapping[str, Accumulator]) -> IntegerNetwork:
        """The network with narrow accumulators in the named layers.

        Raises:
            ConfigError: a name matches no layer.
        """
        check_names(registers, self.layers)
        steps = tuple(
            replace(step, register=registers[step.name])
            if isinstance(step, LayerStep) and step.name in registers
            else step
            for step in self.steps
        )
        return IntegerNetwork(steps, self.output)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per step: step, kind, inputs, out_bits, scale, zero; of layers w_min, w_max, bias_bits, shift.

        `shift` is the largest right shift of the requantization.
        """
        import pandas as pd

        return pd.DataFrame([_row(step) for step in self.steps])


def _row(step: Step) -> dict[str, object]:
    row: dict[str, object] = {
        "step": step.name,
        "kind": type(step).__name__.removesuffix("Step").lower(),
        "inputs": ", ".join(step.inputs),
        "out_bits": step.grid.bits,
        "scale": step.grid.scale,
        "zero": step.grid.zero,
    }
    if isinstance(step, LayerStep):
        shift = None if step.requant is None or step.requant.shift is None else int(step.requant.shift.max())
        row |= {
            "w_min": int(step.w_int.min()), "w_max": int(step.w_int.max()),
            "bias_bits": int(step.bias.abs().max()).bit_length() + 1, "shift": shift,
        }  # fmt: skip
    return row


@torch.no_grad()
def integerize(
    qmodel: nn.Module,
    example: Tensor,
    *,
    rounding: Rounding = "round",
    multiplier: Multiplier = "fixed",
    multiplier_bits: int | None = None,
    stream_bits: int = 8,
) -> IntegerNetwork:
    """The integer network of a quantized model.

    Every convolution and linear layer must be quantized, weight and input, on grids with a zero (`affine`,
    `symmetric`, `lsq`; weights also `dorefa` and `pact`). A batch norm behind a layer becomes part of its
    requantization, per channel. Docs: docs/explain/integers.md.

    Args:
        qmodel: of `apply`, calibrated or trained; torch.fx must be able to trace its forward.
        example: inputs (N, ...), a few hundred training images: the grids of tensors that no layer's
            quantizer describes (residual streams, averages, concatenations) take their range from them.
        rounding: of every requantization: `round` to the nearest, ties to even, as the quantizers do by default;
            `half_up`; or `floor`, which drops the bits that are shifted out.
        multiplier: `float`, `fixed` (integer and shift) or `reciprocal`; see `requantizer`.
        multiplier_bits: width of the integer multiplier (`fixed`, 31 unless given), or the shift
            (`reciprocal`, 24 unless given).
        stream_bits: width of the tensors whose grid comes from the example, 1..16.

    Raises:
        ConfigError: an option out of its range, a layer that is float or not calibrated, or an operation without
            integer arithmetic.
    """
    check_one_of("rounding", rounding, ROUNDINGS)
    check_one_of("multiplier", multiplier, MULTIPLIERS)
    most = DEFAULT_BITS["fixed"]
    if multiplier_bits is not None and not 1 <= multiplier_bits <= most:
        raise ConfigError(f"`1 <= multiplier_bits <= {most}` must hold, but got {multiplier_bits}")
    if not 1 <= stream_bits <= MAX_STREAM_BITS:
        raise ConfigError(f"`1 <= stream_bits <= {MAX_STREAM_BITS}` must hold, but got {stream_bits}")
    check_calibrated(qmodel)
    with modes_kept(qmodel):
        qmodel.eval()
        traced = trace_forward(qmodel)
        watcher = Watcher(traced)
        watcher.run(example)
    stages = join(read_graph(qmodel, traced))
    for stage in stages:
        if stage.norm is not None and not normalises_channels(stage.op.module, watcher.seen[stage.op.node].shape):
            raise ConfigError(
                f"{stage.name!r}: the batch norm behind it does not normalise its output channels (its output is "
                f"{watcher.seen[stage.op.node].shape}): it cannot become part of its requantization."
            )
    seen: dict[str, Seen] = {
        stage.name: watcher.seen[stage.last.node] for stage in stages if stage.last.node in watcher.seen
    }
    arithmetic = Arithmetic(multiplier=multiplier, rounding=rounding, bits=multiplier_bits)
    builder = Builder(grids=Grids(stages, seen, stream_bits), arithmetic=arithmetic)
    steps = builder.build(stages)
    return IntegerNetwork(tuple(steps), builder.output)
