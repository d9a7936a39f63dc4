"""From requests to networks that are ready to run, with their identity and provenance."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ...cache.spec import EmbeddingSpec, Option
from ...core.device import Precision, in_own_thread
from ...core.errors import AbawError
from ...core.provenance import package_versions
from ..requests import EmbeddingRequest
from .base import Embedder
from .kinds import BackboneKind
from .layers import make_embedder
from .lookup import find_kind
from .settings import Settings, resolve_settings
from .weights import Identity, Origin, build_network, count_classes, fill, find_origin


@dataclass(frozen=True)
class LoadedBackbone:
    """A frozen network on the CPU in float32, and what it is."""

    spec: EmbeddingSpec
    module: Embedder
    """From normalised frames (B, C, S, S) to embeddings (B, D); in evaluation mode. Its `network`
    may be that of other embeddings too."""
    provenance: dict[str, Any]
    """Objective, source and licence of the weights; recorded, never compared."""
    channels_last: bool
    """Whether it is faster on images whose channels lie last in memory."""
    cpu_batch_sizes: Mapping[Precision, int]
    """Frames per forward pass that it is fast with on a CPU."""


def load_backbone(request: EmbeddingRequest) -> LoadedBackbone:
    """Return the network that a request names, its weights loaded or drawn.

    Torch's global generator is neither used nor moved on.

    Raises:
        UsageError: the backbone, a setting or the kind of weights is unknown.
        WeightsError: the weights cannot be read or do not fit.
    """
    return load_backbones([request])[0]


def load_backbones(requests: Sequence[EmbeddingRequest]) -> list[LoadedBackbone]:
    """Return what `load_backbone` returns for each request, networks shared where they are equal.

    Requests of one backbone, one text of weights and equal settings of what the network is built
    by (input size, position table) hold one network object, loaded once: `forward_all` then runs
    it once for all of them that are `can_share`. Works in a thread of its own, see `in_own_thread`.

    Raises:
        UsageError: a backbone, a setting or a kind of weights is unknown.
        WeightsError: weights cannot be read or do not fit.
    """
    return in_own_thread(lambda: _load_all(requests))


def _load_all(requests: Sequence[EmbeddingRequest]) -> list[LoadedBackbone]:
    """Return the networks, equal ones loaded once."""
    kinds: dict[tuple[str, str], BackboneKind] = {}
    groups: dict[tuple[object, ...], list[tuple[int, EmbeddingRequest, Settings]]] = {}
    for place, request in enumerate(requests):
        with _naming(request):
            source = request.backbone, request.weights
            if source not in kinds:
                kinds[source] = find_kind(*source)
            settings = resolve_settings(kinds[source], request.settings)
        built = settings.input_size, settings.position_table
        allowed = request.allow_missing, request.allow_unexpected
        groups.setdefault((*source, *built, *allowed), []).append((place, request, settings))
    found: dict[int, LoadedBackbone] = {}
    for group in groups.values():
        kind = kinds[group[0][1].backbone, group[0][1].weights]
        found |= dict(zip((place for place, *_ in group), _load(kind, group), strict=True))
    return [found[place] for place in range(len(requests))]


def can_share(one: LoadedBackbone, other: LoadedBackbone) -> bool:
    """Whether one forward pass can give both: one network object, equal input, equal flip."""
    same_input = all(
        getattr(one.spec, name) == getattr(other.spec, name)
        for name in ("input_size", "crop", "interpolation", "mean", "std", "channels", "flip")
    )
    return one.module.network is other.module.network and same_input


@contextmanager
def _naming(request: EmbeddingRequest) -> Iterator[None]:
    """Have an error name the entry of the file that asks for this."""
    try:
        yield
    except AbawError as error:
        if request.file is None:
            raise
        message = f"{error} (embedding {request.name!r} in {request.file})"
        raise type(error)(message) from error


def _load(
    kind: BackboneKind, group: Sequence[tuple[int, EmbeddingRequest, Settings]]
) -> list[LoadedBackbone]:
    """Return the embeddings of one network."""
    _, first, build_settings = group[0]
    with _naming(first):
        origin = find_origin(kind, first)
    n_classes = 0
    for _, request, settings in group:
        if kind.reads_classifier(settings):
            with _naming(request):
                n_classes = count_classes(kind, origin, settings)
    with _naming(first):
        network = build_network(kind, build_settings, n_classes, origin)
    made = []
    for _, request, settings in group:
        with _naming(request):
            embedder, resolved = make_embedder(kind, network, settings)
        made.append((request, resolved, embedder))
    if not kind.is_whole:
        network.to_empty(device="cpu")
    with _naming(first):
        identities = fill(kind, network, origin, made)
    network.eval().requires_grad_(False)
    return [
        _loaded(kind, request, settings, embedder, identity)
        for (request, settings, embedder), identity in zip(made, identities, strict=True)
    ]


def _loaded(
    kind: BackboneKind,
    request: EmbeddingRequest,
    settings: Settings,
    embedder: Embedder,
    identity: Identity,
) -> LoadedBackbone:
    limits = {"min_side": settings.min_side, "max_side": settings.max_side}
    options: dict[str, Option] = {name: side for name, side in limits.items() if side}
    spec = EmbeddingSpec(
        backbone=kind.name,
        weights=identity.weights,
        input_size=settings.input_size,
        position_table=identity.position_table,
        crop=settings.crop,
        interpolation=settings.interpolation,
        mean=settings.mean,
        std=settings.std,
        channels=kind.channels,
        layer=settings.layer,
        pool=settings.pool,
        flip=settings.flip,
        options={**kind.options, **options},
        dim=embedder.dim,
        dtype="float32" if settings.dtype == "float32" else "float16",
    )
    provenance = dict(identity.provenance)
    if request.licence:
        provenance["licence"] = request.licence
    provenance["versions"] = package_versions()
    batch_sizes: dict[Precision, int] = {
        "fp32": kind.cpu_batch_size,
        "bf16": kind.cpu_batch_size_bf16,
        "fp16": kind.cpu_batch_size_bf16,
    }
    return LoadedBackbone(spec, embedder, provenance, kind.channels_last, batch_sizes)


def build_empty(kind: BackboneKind, settings: Settings) -> Embedder:
    """Return the embedder on the CPU with whatever numbers memory holds."""
    network = build_network(kind, settings, 0, Origin())
    embedder, _ = make_embedder(kind, network, settings)
    return embedder if kind.is_whole else embedder.to_empty(device="cpu")
