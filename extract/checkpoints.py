"""Weight files: read without running anything in them, known by content."""

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

from ..core.errors import UsageError
from .errors import WeightsError
from .hub import download
from .requests import WEIGHT_KINDS

Tensors = dict[str, torch.Tensor]

_WRAPPERS: Final = (
    "model",
    "state_dict",
    "model_state_dict",
    "state_dict_backbone",
    "network",
    "net",
)
"""Under which key training scripts put the weights beside optimizer and settings."""
_PREFIXES: Final = ("module.", "_orig_mod.", "model.", "backbone.", "encoder.")
_SUFFIXES: Final = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
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
    path, licence = download(model_id)
    source = read_weights_file(path)
    facts = {"weights_hub_id": model_id} | ({"licence": licence} if licence else {})
    return WeightsSource(model_id, source.tensors, source.provenance | facts)


def content_hash(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    """Return `sha256:<hex>` over the sorted keys, types, shapes and bytes of tensors.

    The batch counters of normalisation layers are left out: they change nothing that is computed.
    """
    digest = hashlib.sha256()
    for key, tensor in sorted(tensors):
        if is_counter(key):
            continue
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(flat.numpy().data)
    return f"sha256:{digest.hexdigest()}"


def is_counter(key: str) -> bool:
    """Whether a key is the batch counter of a normalisation layer, which nothing here reads."""
    return key.endswith("num_batches_tracked")


def _file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
