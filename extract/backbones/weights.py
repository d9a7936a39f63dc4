"""How the numbers get into a network: from a seed, from a file, or as a user's module brings them.

The classifier is in the network only where an embedding reads it, and is never part of the
identity of one that does not: so penultimate and logits share a network, and each is the same
embedding as if it were made alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...core.errors import UsageError
from ..checkpoints import WeightsSource, content_hash, parse_seed, read_weights
from ..errors import WeightsError
from ..matching import Allowed, load_strictly
from ..requests import WEIGHT_KINDS, EmbeddingRequest
from .base import Embedder
from .checks import check_alive, check_unused
from .initialise import initialise_cnn
from .kinds import BackboneKind, Tensors
from .positions import fitted_table
from .settings import Settings


@dataclass(frozen=True)
class Origin:
    """Where a network's numbers come from: a seed, a source, or neither."""

    seed: int | None = None
    source: WeightsSource | None = None


@dataclass(frozen=True)
class Identity:
    """What a spec and provenance say of the weights of one embedding."""

    weights: str
    """`sha256:<hex>` or `none`."""
    position_table: str
    provenance: dict[str, Any] = field(default_factory=dict)


def find_origin(kind: BackboneKind, request: EmbeddingRequest) -> Origin:
    """Return the seed, or the tensors of the file, that a request names.

    Raises:
        UsageError: the kind of weights is unknown, or not one that the backbone takes.
        WeightsError: the weights cannot be read.
    """
    weights = request.weights
    if not kind.has_weights:
        if weights != "none":
            message = (
                f"{kind.name} has no weights, so it takes --weights none, but got "
                f"--weights {weights}"
            )
            raise UsageError(message)
        return Origin()
    if weights == "none":
        message = f"{kind.name} needs weights, but got --weights none; give {WEIGHT_KINDS}"
        raise UsageError(message)
    if weights == "own":
        if not kind.accepts_own:
            message = (
                f"--weights own is for a module of your own that brings its weights, but "
                f"{kind.name} is none; give another kind: {WEIGHT_KINDS}"
            )
            raise UsageError(message)
        return Origin()
    seed = parse_seed(weights)
    if seed is not None:
        return Origin(seed=seed)
    return Origin(source=read_weights(weights, kind.hub_id, kind.name))


def count_classes(kind: BackboneKind, origin: Origin, settings: Settings) -> int:
    """Return the classes of the classifier that an embedding reads.

    Raises:
        WeightsError: there is no classifier in the weights.
    """
    if origin.source is None:
        if kind.n_classes:
            return kind.n_classes
        message = (
            f"layer={settings.layer} of {kind.name} needs weights with a classifier, but random "
            f"ones have none; give a file, or another layer"
        )
        raise WeightsError(message)
    tensors, _ = kind.adapt(origin.source.tensors, settings)
    heads = [t for key, t in tensors.items() if kind.is_classifier_key(key) and t.ndim >= 2]
    if not heads:
        message = (
            f"layer={settings.layer} of {kind.name} needs weights with a classifier "
            f"({kind.classifiers[0]}.weight), but {origin.source.name} has none; give other "
            f"weights, or another layer"
        )
        raise WeightsError(message)
    return heads[-1].shape[0]


def build_network(
    kind: BackboneKind, settings: Settings, n_classes: int, origin: Origin
) -> nn.Module:
    """Return the network: complete if the backbone builds it so, else on the meta device.

    Initialising what is then overwritten takes a large ViT ten seconds, and random numbers from
    torch's global generator.
    """
    if origin.seed is not None and kind.draw is not None:
        return kind.draw(settings, n_classes, origin.seed)
    if kind.is_whole:
        return kind.build(settings, n_classes)
    with torch.device("meta"):
        return kind.build(settings, n_classes)


def fill(
    kind: BackboneKind,
    network: nn.Module,
    origin: Origin,
    embeddings: Sequence[tuple[EmbeddingRequest, Settings, Embedder]],
) -> list[Identity]:
    """Put the numbers into a network on the CPU; return each embedding's identity of weights.

    Raises:
        WeightsError: they do not fit.
        UsageError: a setting asks for what these weights do not allow.
    """
    if not kind.has_weights:
        return [
            Identity("none", "none", {"objective": "none", "weights_source": "none"})
            for _ in embeddings
        ]
    if origin.source is not None:
        return _from_source(kind, network, origin.source, embeddings)
    for _, settings, _ in embeddings:
        if settings.position_table == "interpolate":
            message = (
                "position_table=interpolate is for weights from a file, but these are made for the "
                "input size; leave position_table out"
            )
            raise UsageError(message)
    provenance: dict[str, Any] = {"weights_source": "own", "objective": kind.objective}
    if origin.seed is not None:
        if kind.initialise is not None:
            _initialise(kind, network, torch.Generator().manual_seed(origin.seed))
        else:
            for _, settings, embedder in embeddings:
                check_alive(kind, network, settings, embedder)
        provenance = {
            "weights_source": f"random:{origin.seed}",
            "objective": "random",
            "licence": "none: drawn from a seed",
        }
    table = "none" if kind.position_table(network) is None else "built"
    return [
        Identity(_hash(kind, network, settings, {}, ()), table, dict(provenance))
        for _, settings, _ in embeddings
    ]


def _initialise(kind: BackboneKind, network: nn.Module, generator: torch.Generator) -> None:
    """Draw all but the classifier, then the classifier: the rest is the same without one."""
    assert kind.initialise is not None
    with _without_classifier(kind, network) as classifiers:
        kind.initialise(network, generator)
    for classifier in classifiers:
        initialise_cnn(classifier, generator)


@contextmanager
def _without_classifier(kind: BackboneKind, network: nn.Module) -> Iterator[list[nn.Module]]:
    found = []
    for path in kind.classifiers:
        owner_path, _, name = path.rpartition(".")
        owner = network.get_submodule(owner_path)
        found.append((owner, name, owner.get_submodule(name)))
        setattr(owner, name, nn.Identity())
    try:
        yield [module for _, _, module in found]
    finally:
        for owner, name, module in found:
            setattr(owner, name, module)


def _from_source(
    kind: BackboneKind,
    network: nn.Module,
    source: WeightsSource,
    embeddings: Sequence[tuple[EmbeddingRequest, Settings, Embedder]],
) -> list[Identity]:
    has_classifier = any(kind.reads_classifier(settings) for _, settings, _ in embeddings)
    found: list[Identity] = []
    allowed = Allowed()
    for place, (request, settings, embedder) in enumerate(embeddings):
        tensors, left_out = kind.adapt(source.tensors, settings)
        heads = [key for key in tensors if kind.is_classifier_key(key)]
        kept = {
            key: tensor for key, tensor in tensors.items() if has_classifier or key not in heads
        }
        fitted, table = fitted_table(kind, network, kept, settings)
        if place == 0:
            allowed = load_strictly(
                network,
                fitted,
                kind.name,
                source.name,
                request.allow_missing,
                request.allow_unexpected,
            )
        check_unused(kind, network, settings, embedder, allowed.missing, source.name)
        n_loaded = len(tensors) - len(allowed.unexpected)
        if not kind.reads_classifier(settings):
            left_out = [*left_out, *heads]
            n_loaded -= len(heads)
        provenance = {
            "weights_source": source.name,
            # A ViT with a classification head was trained with labels, whatever came before.
            "objective": "supervised" if heads else kind.objective,
            "keys_loaded": n_loaded,
            "keys_left_out": len(left_out),
            **source.provenance,
        }
        if left_out:
            provenance["left_out"] = sorted({key.split(".")[0] for key in left_out})
        if request.allow_missing:
            provenance["allowed_missing"] = list(allowed.missing)
        if request.allow_unexpected:
            provenance["allowed_unexpected"] = list(allowed.unexpected)
        weights = _hash(
            kind, network, settings, kept if table == "interpolated" else {}, allowed.missing
        )
        found.append(Identity(weights, table, provenance))
    with torch.no_grad():
        state = network.state_dict()
        for key in allowed.missing:
            state[key].zero_()
    return found


def _hash(
    kind: BackboneKind,
    network: nn.Module,
    settings: Settings,
    originals: Tensors,
    missing: Sequence[str],
) -> str:
    """Return the content hash of what this embedding has from its weights.

    Args:
        kind: the backbone.
        network: filled.
        settings: of the embedding; they say whether the classifier counts.
        originals: tensors that were not loaded as they are: the stored ones count.
        missing: keys that the weights lack.
    """
    with_classifier = kind.reads_classifier(settings)
    table = kind.position_table(network)
    return content_hash(
        (key, originals[key].to(tensor.dtype) if key == table and key in originals else tensor)
        for key, tensor in network.state_dict().items()
        if key not in missing and (with_classifier or not kind.is_classifier_key(key))
    )
