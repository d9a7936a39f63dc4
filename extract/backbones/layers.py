"""From a network and settings to an embedder: finds the layer, its form, and the dimensions."""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from ...core.errors import UsageError
from ...core.names import near_misses
from .base import Embedder, Reading
from .kinds import BackboneKind
from .pooling import form_of, pools_of, reading_of
from .settings import Settings

_BATCH = 2


def make_embedder(
    kind: BackboneKind, network: nn.Module, settings: Settings
) -> tuple[Embedder, Settings]:
    """Return an embedder over a network, and the settings with the pool that was found.

    Frames of zeros are run through the network, which may be on the meta device.

    Raises:
        UsageError: the layer is unknown, not run once, or of no form that can be pooled as asked.
    """
    layer = None if settings.layer in ("final", "logits") else settings.layer
    output = _output(kind, network, settings, layer)
    pool, reading = _reading(kind, network, settings, output)
    with torch.inference_mode():
        embedding = reading(network, output)
    if embedding.ndim != 2 or len(embedding) != _BATCH or not embedding.is_floating_point():
        message = (
            f"layer={settings.layer} of {kind.name} must give one vector a frame, but gives "
            f"{embedding.dtype} of shape {tuple(embedding.shape)} for {_BATCH} frames; choose "
            f"another layer or pool"
        )
        raise UsageError(message)
    embedder = Embedder(
        network, kind.trunk, reading, embedding.shape[1], layer=layer, flip=settings.flip
    )
    return embedder.eval(), replace(settings, pool=pool)


def blank_frames(kind: BackboneKind, network: nn.Module, settings: Settings) -> torch.Tensor:
    """Return normalised frames of zeros where the network is, (2, C, S, S)."""
    tensors = [*network.parameters(), *network.buffers()] or [torch.empty(0)]
    n_channels = 1 if kind.channels == "grey" else 3
    size = settings.input_size
    return torch.zeros(_BATCH, n_channels, size, size, device=tensors[0].device)


def _output(kind: BackboneKind, network: nn.Module, settings: Settings, layer: str | None) -> Any:  # noqa: ANN401
    """Return what the layer, or the trunk, gives."""
    network.eval()
    outputs: list[Any] = []
    handle = None
    if layer is not None:
        module = _submodule(kind, network, layer)
        handle = module.register_forward_hook(lambda _m, _i, output: outputs.append(output))
    try:
        with torch.inference_mode():
            output = kind.trunk(network, blank_frames(kind, network, settings))
    except Exception as error:
        if not kind.is_whole:
            raise
        # timm's and users' networks say in their own ways what they cannot take.
        shape = tuple(blank_frames(kind, network, settings).shape)
        message = (
            f"{kind.name} must take normalised frames of shape {shape}, but fails with "
            f"{type(error).__name__}: {error}; set another input_size, or mend the network"
        )
        raise UsageError(message) from error
    finally:
        if handle is not None:
            handle.remove()
    if layer is None:
        return output
    if len(outputs) != 1:
        times = "is not run" if not outputs else f"is run {len(outputs)} times"
        message = (
            f"layer={layer} of {kind.name} must be run once on the way to the embedding, but "
            f"{times}; name a submodule that is, or leave layer out"
        )
        raise UsageError(message)
    return outputs[0]


def _submodule(kind: BackboneKind, network: nn.Module, layer: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(network.named_modules())
    if layer not in modules:
        names = ["final", *(["logits"] if kind.logits else []), *filter(None, modules)]
        if layer.split(".")[0] not in names:
            # A typing error in a short name is nearest to short names.
            names = [name for name in names if "." not in name]
        message = f"{kind.name} has no layer {layer!r}; {near_misses(layer, names)}"
        raise UsageError(message)
    return modules[layer]


def _reading(
    kind: BackboneKind,
    network: nn.Module,
    settings: Settings,
    output: Any,  # noqa: ANN401
) -> tuple[str, Reading]:
    """Return the name and the reading of the pool that is asked for, or that the form asks for."""
    special = {"final": kind.readings, "logits": kind.logits}.get(settings.layer, {})
    if settings.pool in special:
        return settings.pool, special[settings.pool]
    form = form_of(network, output) if isinstance(output, torch.Tensor) else None
    if form is None:
        what = (
            f"a tensor of shape {tuple(output.shape)}"
            if isinstance(output, torch.Tensor)
            else f"a {type(output).__name__}"
        )
        hint = f"use pool={' or '.join(special)}" if special else "name another layer"
        message = (
            f"layer={settings.layer} of {kind.name} must give a vector, tokens or a map, but gives "
            f"{what}; {hint}"
        )
        raise UsageError(message)
    allowed = pools_of(form, output)
    pool = settings.pool or allowed[0]
    if pool not in allowed:
        message = (
            f"layer={settings.layer} of {kind.name} gives {form.text} of shape "
            f"{tuple(output.shape[1:])} a frame, so pool must be "
            f"{' or '.join([*allowed, *special])}, but "
            f"got {pool!r}"
        )
        raise UsageError(message)
    return pool, reading_of(pool, form)
