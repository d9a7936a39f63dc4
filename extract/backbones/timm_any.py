"""Any network of timm as a backbone, `timm/NAME`, with the preprocessing of its own config.

`pool=own` is what the network's classifier gets, `forward_head(pre_logits=True)`; `cls`, `mean` and
`grid3` pool the tokens or the map of `forward_features`.
"""

from functools import cache, partial
from typing import Any, Final

import torch
from torch import nn

from ...core.errors import NameLookupError, UsageError
from ...core.names import near_misses
from .draws import UniformDraws, ZeroDraws
from .kinds import BackboneKind
from .settings import INTERPOLATIONS, Settings

PREFIX: Final = "timm/"


@cache
def timm_kind(name: str) -> BackboneKind:
    """Return the backbone of a network of timm.

    Args:
        name: `timm/` and a model's name, with or without the tag of its weights.

    Raises:
        NameLookupError: timm has no such model; the message lists the nearest.
        UsageError: its input is of a form that stage 1 does not make.
    """
    import timm

    model = name.removeprefix(PREFIX)
    architecture = model.partition(".")[0]
    if not timm.is_model(architecture):
        message = f"timm has no model {model!r}; {near_misses(architecture, timm.list_models())}"
        raise NameLookupError(message)
    try:
        config: Any = timm.get_pretrained_cfg(model, allow_unregistered=False)
    except RuntimeError:
        tagged = timm.list_pretrained(f"{architecture}.*")
        message = f"timm has no weights {model!r}; {near_misses(model, tagged or [architecture])}"
        raise NameLookupError(message) from None
    _check_config(name, config)
    heads = config.classifier or ()
    classifiers = (heads,) if isinstance(heads, str) else tuple(heads)
    return BackboneKind(
        name=name,
        defaults=Settings(
            input_size=config.input_size[1],
            mean=tuple(config.mean),
            std=tuple(config.std),
            interpolation=config.interpolation,
            crop=_crop(config.crop_mode, config.crop_pct),
            pool="own",
        ),
        channels="rgb",
        pools=("own", "cls", "mean", "grid3"),
        build=partial(_build_empty, model, config),
        trunk=lambda network, frames: network.forward_features(frames),
        readings={"own": lambda network, x: network.forward_head(x, pre_logits=True)},
        logits={"own": lambda network, x: network.forward_head(x)} if classifiers else {},
        classifiers=classifiers,
        n_classes=config.num_classes,
        draw=partial(_draw, model, config),
        adapt=lambda tensors, _: (tensors, []),
        position_table=_position_table,
        channels_last=not model.startswith(("vit", "deit", "beit", "eva", "swin", "cait", "xcit")),
        is_whole=True,
        hub_id=config.hf_hub_id or None,
        formats="timm state dict (.pth, .safetensors), pretrained",
    )


def _check_config(name: str, config: Any) -> None:  # noqa: ANN401
    channels, height, width = config.input_size
    needs = {
        f"square frames of 3 channels, but it takes {config.input_size}": (
            channels == 3 and height == width
        ),
        f"interpolation {' or '.join(INTERPOLATIONS)}, but its config has {config.interpolation}": (
            config.interpolation in INTERPOLATIONS
        ),
        f"crop mode center or squash, but its config has {config.crop_mode}, which pads frames": (
            config.crop_mode in ("center", "squash")
        ),
    }
    for need, is_met in needs.items():
        if not is_met:
            message = f"{name} must take {need}; choose another model"
            raise UsageError(message)


def _crop(mode: str, fraction: float) -> str:
    if mode == "squash":
        return "full" if fraction == 1 else f"squash:{float(fraction)}"
    return str(float(fraction))


def _build(model: str, config: Any, settings: Settings, n_classes: int) -> nn.Module:  # noqa: ANN401
    """Return the network as timm makes it, with torch's global generator left as it was.

    Not on the meta device: some networks hold tables that are in no state dict.
    """
    import timm

    given: dict[str, Any] = {"pretrained": False, "num_classes": n_classes}
    if settings.input_size != config.input_size[1] and config.fixed_input_size:
        given["img_size"] = settings.input_size
    with torch.random.fork_rng(devices=[]):
        try:
            network: nn.Module = timm.create_model(model, **given)
        except (TypeError, ValueError, AssertionError, RuntimeError) as error:
            if "img_size" not in given:
                raise
            message = (
                f"timm/{model} is built for input_size={config.input_size[1]} and cannot be made "
                f"for {settings.input_size} ({str(error).splitlines()[0]}); leave input_size out"
            )
            raise UsageError(message) from error
    patch = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    for side in patch if isinstance(patch, tuple) else ():
        if settings.input_size % side:
            # timm itself drops the rows and columns of pixels that fill no patch.
            message = (
                f"input_size of timm/{model} must be a multiple of its patches' {side} pixels, but "
                f"got {settings.input_size}; choose another"
            )
            raise UsageError(message)
    return network


def _build_empty(model: str, config: Any, settings: Settings, n_classes: int) -> nn.Module:  # noqa: ANN401
    """Return the network with no numbers yet but those of its tables."""
    with ZeroDraws():  # type: ignore[no-untyped-call]
        return _build(model, config, settings, n_classes)


def _draw(model: str, config: Any, settings: Settings, n_classes: int, seed: int) -> nn.Module:  # noqa: ANN401
    """Return the network as timm initialises it, its random draws made uniform from the seed.

    Always with the classifier, so that the rest has the same numbers with and without one. Norms
    that timm starts at 0, which would switch residual branches off, get 1 / sqrt(how many).
    """
    with UniformDraws(seed):
        network = _build(model, config, settings, config.num_classes)
    closed = [
        module.weight
        for module in network.modules()
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm | nn.GroupNorm)
        and isinstance(module.weight, torch.Tensor)
        and not module.weight.any()
    ]
    with torch.no_grad():
        for weight in closed:
            weight.fill_(len(closed) ** -0.5)
    return network


def _position_table(network: nn.Module) -> str | None:
    table = getattr(network, "pos_embed", None)
    is_table = isinstance(table, nn.Parameter) and table.ndim == 3
    has_grid = hasattr(getattr(network, "patch_embed", None), "num_patches")
    return "pos_embed" if is_table and has_grid else None
