"""From a request to a network that is ready to run, with its identity and provenance."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...cache.spec import EmbeddingSpec
from ...core.errors import AbawError, UsageError
from ...core.provenance import package_versions
from ..checkpoints import content_hash, load_strictly, parse_seed, read_weights
from ..requests import WEIGHT_KINDS, EmbeddingRequest
from .base import BACKBONES, BackboneKind, Embedder, Settings, resolve_settings


@dataclass(frozen=True)
class LoadedBackbone:
    """A frozen network on the CPU in float32, and what it is."""

    spec: EmbeddingSpec
    module: Embedder
    """From normalised frames (B, C, S, S) to embeddings (B, D); in evaluation mode."""
    provenance: dict[str, Any]
    """Objective, source and licence of the weights; recorded, never compared."""
    channels_last: bool
    """Whether it is faster on images whose channels lie last in memory."""


def load_backbone(request: EmbeddingRequest) -> LoadedBackbone:
    """Return the network that a request names, its weights loaded or drawn.

    Torch's global generator is neither used nor moved on.

    Raises:
        UsageError: the backbone, a setting or the kind of weights is unknown.
        WeightsError: the weights cannot be read or do not fit.
    """
    try:
        return _load(request)
    except AbawError as error:
        if request.file is None:
            raise
        message = f"{error} (embedding {request.name!r} in {request.file})"
        raise type(error)(message) from error


def _load(request: EmbeddingRequest) -> LoadedBackbone:
    kind = BACKBONES[request.backbone]
    settings = resolve_settings(kind, request.settings)
    embedder = build_empty(kind, settings)
    weights, provenance = _load_weights(kind, settings, embedder, request)
    if request.licence:
        provenance["licence"] = request.licence
    embedder.eval().requires_grad_(False)
    has_table = kind.position_table(embedder.network) is not None
    is_drawn = provenance["objective"] == "random"
    spec = EmbeddingSpec(
        backbone=kind.name,
        weights=weights,
        input_size=settings.input_size,
        position_table=("built" if is_drawn else "stored") if has_table else "none",
        crop="full",
        interpolation=settings.interpolation,
        mean=settings.mean,
        std=settings.std,
        channels=kind.channels,
        layer=settings.layer,
        pool=settings.pool,
        flip=settings.flip,
        dim=embedder.dim,
        dtype="float32" if settings.dtype == "float32" else "float16",
    )
    provenance["versions"] = package_versions()
    return LoadedBackbone(spec, embedder, provenance, kind.channels_last)


def build_empty(kind: BackboneKind, settings: Settings) -> Embedder:
    """Return the network on the CPU with whatever numbers memory holds.

    Initialising what is then overwritten takes a large ViT ten seconds, and random numbers from
    torch's global generator.
    """
    with torch.device("meta"):
        embedder = kind.build(settings)
    return embedder.to_empty(device="cpu")


def _load_weights(
    kind: BackboneKind, settings: Settings, embedder: Embedder, request: EmbeddingRequest
) -> tuple[str, dict[str, Any]]:
    """Fill the network; return the identity of its weights and where they came from."""
    if kind.initialise is None:
        if request.weights != "none":
            message = (
                f"{kind.name} has no weights, so it takes --weights none, but got "
                f"--weights {request.weights}"
            )
            raise UsageError(message)
        return "none", {"objective": "none", "weights_source": "none"}
    if request.weights == "none":
        message = f"{kind.name} needs weights, but got --weights none; give {WEIGHT_KINDS}"
        raise UsageError(message)
    seed = parse_seed(request.weights)
    if seed is not None:
        kind.initialise(embedder.network, torch.Generator().manual_seed(seed))
        provenance: dict[str, Any] = {
            "weights_source": request.weights,
            "objective": "random",
            "licence": "none: drawn from a seed",
        }
    else:
        source = read_weights(request.weights, kind.hub_id, kind.name)
        tensors, left_out = kind.adapt(source.tensors, settings)
        load_strictly(embedder.network, tensors, kind.name, source.name)
        is_classifier = any(key.startswith("head.") for key in left_out)
        provenance = {
            "weights_source": source.name,
            # A ViT with a classification head was trained with labels, whatever came before.
            "objective": "supervised" if is_classifier else kind.objective,
            "keys_loaded": len(tensors),
            "keys_left_out": len(left_out),
            **source.provenance,
        }
        if left_out:
            provenance["left_out"] = sorted({key.split(".")[0] for key in left_out})
    return content_hash(embedder.network.state_dict().items()), provenance


def load_backbones(requests: Sequence[EmbeddingRequest]) -> list[LoadedBackbone]:
    """Return `load_backbone` of each request."""
    return [load_backbone(request) for request in requests]


def can_share(one: LoadedBackbone, other: LoadedBackbone) -> bool:
    """Return whether one forward pass gives both embeddings."""
    return one is other
