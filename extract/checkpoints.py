"""Weight files: read without running anything in them, matched key by key, known by content."""

import argparse
import hashlib
import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch
import torch
from torch import nn

from ..core.errors import UsageError
from .errors import WeightsError
from .requests import WEIGHT_KINDS

Tensors = dict[str, torch.Tensor]

_WRAPPERS: Final = ("model", "state_dict", "model_state_dict", "network", "net")
"""Under which key training scripts put the weights beside optimizer and settings."""
_PREFIXES: Final = ("module.", "_orig_mod.", "backbone.", "encoder.")
_HUB_FILES: Final = ("model.safetensors", "pytorch_model.bin")
_SHOWN: Final = 4


@dataclass(frozen=True)
class WeightsSource:
    """Tensors and where they came from."""

    tensors: Tensors
    provenance: dict[str, Any] = field(default_factory=dict)


def parse_seed(weights: str) -> int | None:
    """Return the seed of `random:SEED`, or None for another kind of weights.

    Raises:
        UsageError: the seed is not a whole number of at least 0.
    """
    if not weights.startswith("random:"):
        return None
    text = weights.removeprefix("random:")
    if not text.isdecimal():
        message = f"random weights are written random:SEED, like random:0, but got {weights!r}"
        raise UsageError(message)
    return int(text)


def read_weights(weights: str, hub_id: str | None, backbone: str) -> WeightsSource:
    """Return the tensors of a file or of a model on the Hugging Face hub.

    Args:
        weights: a path, `pretrained`, or `hf-hub:OWNER/NAME`.
        hub_id: what `pretrained` stands for, if anything.
        backbone: for messages.

    Raises:
        UsageError: this is no kind of weights.
        WeightsError: the file is missing, not safe, not a state dict, or cannot be fetched.
    """
    if weights == "pretrained":
        if hub_id is None:
            message = (
                f"no public weights are known for {backbone}, so it has no `pretrained`; give "
                f"your own file or another kind: {WEIGHT_KINDS}"
            )
            raise UsageError(message)
        return _from_hub(hub_id)
    if weights.startswith("hf-hub:"):
        return _from_hub(weights.removeprefix("hf-hub:"))
    path = Path(weights).expanduser()
    if path.is_file():
        return read_weights_file(path)
    if path.suffix in {".safetensors", ".pth", ".pt", ".bin", ".ckpt"} or "/" in weights:
        message = f"the weights file {path} must exist, but does not; check the path"
        raise WeightsError(message)
    message = f"weights must be one of {WEIGHT_KINDS}, but got {weights!r} for {backbone}"
    raise UsageError(message)


def read_weights_file(path: Path) -> WeightsSource:
    """Return the tensors of a `.safetensors` or torch file, unwrapped, without their prefixes.

    Torch files are read with `weights_only`: nothing in them is run. One class besides tensors is
    let in, `argparse.Namespace`, which facebookresearch/mae saves beside the weights.

    Raises:
        WeightsError: the file is damaged, holds other objects, or no state dict.
    """
    licence = None
    if path.suffix == ".safetensors":
        try:
            with safetensors.safe_open(path, framework="pt") as stream:
                licence = (stream.metadata() or {}).get("license")
            value: Any = safetensors.torch.load_file(path)
        except (OSError, safetensors.SafetensorError) as error:
            message = f"{path} must be a safetensors file, but cannot be read: {error}"
            raise WeightsError(message) from error
    else:
        value = _torch_file(path)
    tensors = _state_dict(value, path)
    facts = {"weights_file": path.name, "weights_file_sha256": _file_sha256(path)}
    return WeightsSource(tensors, facts | ({"licence": licence} if licence else {}))


def _torch_file(path: Path) -> object:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Torch's own text runs over many lines and suggests weights_only=False.
        found = next((line for line in str(error).splitlines() if "GLOBAL" in line), "")
        message = (
            f"{path} must hold tensors only, but holds other objects, which could run code when "
            f"read, and was refused ({found.strip()[:200]}); save its state dict as safetensors"
        )
        raise WeightsError(message) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} must be a torch checkpoint, but cannot be read: {reason}"
        raise WeightsError(message) from error


def _state_dict(value: object, path: Path) -> Tensors:
    for wrapper in _WRAPPERS:
        if isinstance(value, Mapping) and isinstance(value.get(wrapper), Mapping):
            value = value[wrapper]
    if not isinstance(value, Mapping):
        message = f"{path} must hold a state dict, but holds a {type(value).__name__}"
        raise WeightsError(message)
    tensors = {str(key): item for key, item in value.items() if isinstance(item, torch.Tensor)}
    if not tensors:
        keys = ", ".join(map(str, list(value)[:_SHOWN])) or "nothing"
        message = f"{path} must hold a state dict of tensors, but holds {keys}"
        raise WeightsError(message)
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): item for key, item in tensors.items()}
    return tensors


def _from_hub(model_id: str) -> WeightsSource:
    import httpx2
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    for name in _HUB_FILES:
        try:
            path = huggingface_hub.hf_hub_download(model_id, name, etag_timeout=5)
        except huggingface_hub.errors.EntryNotFoundError as error:
            if isinstance(error, LocalEntryNotFoundError):
                raise _unreachable(model_id, error) from error
            continue
        except (HfHubHTTPError, HFValidationError, httpx2.HTTPError, OSError) as error:
            raise _unreachable(model_id, error) from error
        source = read_weights_file(Path(path))
        card = _hub_licence(model_id)
        facts = {"weights_hub_id": model_id} | ({"licence": card} if card else {})
        return WeightsSource(source.tensors, source.provenance | facts)
    message = (
        f"the hub model {model_id} must have {' or '.join(_HUB_FILES)}, but has neither; "
        f"download its weights yourself and give the file"
    )
    raise WeightsError(message)


def _unreachable(model_id: str, error: Exception) -> WeightsError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    message = (
        f"the weights {model_id} must come from the Hugging Face hub, which did not give them "
        f"({reason[:200]}); get online or check the id, or download the file elsewhere and give "
        f"its path as --weights"
    )
    return WeightsError(message)


def _hub_licence(model_id: str) -> str | None:
    import huggingface_hub

    try:
        card = huggingface_hub.model_info(model_id, timeout=5).card_data
    except (OSError, ValueError, RuntimeError):
        return None  # the weights are here; that their licence is unknown is recorded as such
    licence = card.get("license") if card else None
    return str(licence) if licence else None


def load_strictly(network: nn.Module, tensors: Tensors, backbone: str, source: str) -> None:
    """Put tensors into a network, every one in its place.

    Raises:
        WeightsError: keys are missing, left over, or of another shape; the message names them.
    """
    wanted = network.state_dict()
    missing = [key for key in wanted if key not in tensors and not _is_counter(key)]
    unexpected = [key for key in tensors if key not in wanted]
    shapes = [
        f"{key} {tuple(tensors[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in tensors and tensors[key].shape != wanted[key].shape
    ]
    faults = [
        f"{len(keys)} {what} ({', '.join(keys[:_SHOWN])}{', …' if len(keys) > _SHOWN else ''})"
        for keys, what in (
            (missing, "keys missing"),
            (unexpected, "unexpected keys"),
            (shapes, "of other shapes"),
        )
        if keys
    ]
    if faults:
        message = (
            f"{source} must hold the weights of {backbone}, but has {' and '.join(faults)}; give "
            f"the backbone that they belong to"
        )
        raise WeightsError(message)
    bad = [
        key for key, item in tensors.items() if item.is_floating_point() and not _is_finite(item)
    ]
    if bad:
        message = f"{source} must hold finite weights, but {bad[0]} does not"
        raise WeightsError(message)
    counters = {key: value for key, value in wanted.items() if _is_counter(key)}
    network.load_state_dict(counters | tensors, strict=True)


def content_hash(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return `sha256:<hex>` over the sorted keys, types, shapes and bytes of tensors.

    The batch counters of normalisation layers are left out: they change nothing that is computed.
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors):
        if _is_counter(key):
            continue
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(flat.numpy().data)
    return f"sha256:{digest.hexdigest()}"


def _is_counter(key: str) -> bool:
    return key.endswith("num_batches_tracked")


def _is_finite(tensor: torch.Tensor) -> bool:
    return bool(torch.isfinite(tensor).all())


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
