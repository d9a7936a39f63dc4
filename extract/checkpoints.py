"""Weight files: read without running anything in them, matched key by key, known by content."""

import argparse
import hashlib
import pickle
import re
import warnings
import zipfile
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
_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_HUB_FILES: Final = ("model.safetensors", "pytorch_model.bin")
_HUB_SECONDS: Final = 5
_LARGEST_SEED: Final = 2**63 - 1
_SHOWN: Final = 4
_GLOBAL: Final = re.compile(r"GLOBAL (\S+)")


@dataclass(frozen=True)
class WeightsSource:
    """Tensors and where they came from."""

    name: str
    """File name or hub id, as provenance and messages have it: no absolute path."""
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
    if not text.isdecimal() or int(text) > _LARGEST_SEED:
        message = (
            f"random weights are written random:SEED with a whole number from 0 to "
            f"{_LARGEST_SEED}, like random:0, but got {weights!r}"
        )
        raise UsageError(message)
    return int(text)


def read_weights(weights: str, hub_id: str | None, backbone: str) -> WeightsSource:
    """Return the tensors of a file or of a model on the Hugging Face hub.

    Args:
        weights: a path, `pretrained`, `hf-hub:OWNER/NAME` or timm's `timm/NAME`.
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
    if path.is_dir():
        message = f"the weights of {backbone} must be a file, but {path} is a folder; name the file"
        raise WeightsError(message)
    if weights.startswith("timm/"):
        return _from_hub(weights)
    if path.suffix in _SUFFIXES or "/" in weights:
        message = (
            f"the weights file {path} must exist, but does not; check the path, or write "
            f"hf-hub:OWNER/NAME for a model on the hub"
        )
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
    return WeightsSource(path.name, tensors, facts | ({"licence": licence} if licence else {}))


def _torch_file(path: Path) -> object:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            # That a plain pickle has another protocol than torch's; it is refused or read anyway.
            warnings.simplefilter("ignore", UserWarning)
            # Mapped, so an optimizer's state in the same file is never read.
            mapped = zipfile.is_zipfile(path)
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        # Torch's own text runs over many lines and suggests weights_only=False.
        found = _GLOBAL.search(str(error))
        what = f"the object {found[1]}" if found else "something else"
        message = (
            f"{path} must hold tensors only, but holds {what}, which could run code when read, and "
            f"was refused; save its state dict with safetensors and give that file"
        )
        raise WeightsError(message) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        message = f"{path} must be a torch checkpoint, but cannot be read: {reason}"
        raise WeightsError(message) from error


def _state_dict(value: object, path: Path) -> Tensors:
    for wrapper in _WRAPPERS:  # also one in another
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
    from huggingface_hub import get_hf_file_metadata as look_up
    from huggingface_hub import hf_hub_download, hf_hub_url, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError

    for name in _HUB_FILES:
        try:
            cached = try_to_load_from_cache(model_id, name)
            if isinstance(cached, str):
                path = cached
            else:
                # Asked once: the download itself would retry for half a minute where there is no
                # network.
                look_up(hf_hub_url(model_id, name), timeout=_HUB_SECONDS)
                path = hf_hub_download(model_id, name, etag_timeout=_HUB_SECONDS)
        except HFValidationError as error:
            message = f"a hub id must be like timm/densenet121.ra_in1k, but got {model_id!r}"
            raise UsageError(message) from error
        except EntryNotFoundError:
            continue
        except _http_errors() as error:
            raise _unreachable(model_id, error) from error
        source = read_weights_file(Path(path))
        licence = _hub_licence(model_id)
        facts = {"weights_hub_id": model_id} | ({"licence": licence} if licence else {})
        return WeightsSource(model_id, source.tensors, source.provenance | facts)
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
        card = huggingface_hub.model_info(model_id, timeout=_HUB_SECONDS).card_data
    except _http_errors():
        return None  # the weights are here; that their licence is unknown is recorded as such
    licence = card.get("license") if card else None
    return str(licence) if licence else None


def _http_errors() -> tuple[type[Exception], ...]:
    """Return what a failed request raises; the hub's HTTP library changes between its releases."""
    from huggingface_hub.errors import HfHubHTTPError

    bases = (base for base in HfHubHTTPError.__bases__ if issubclass(base, Exception))
    return (OSError, *bases)


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
    counters = {key: torch.zeros_like(item) for key, item in wanted.items() if _is_counter(key)}
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
