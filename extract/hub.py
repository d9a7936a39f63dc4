"""Weights from the Hugging Face hub."""

from pathlib import Path
from typing import Final

from ..core.errors import UsageError
from .errors import WeightsError

_HUB_FILES: Final = ("model.safetensors", "pytorch_model.bin")
_HUB_SECONDS: Final = 5


def download(model_id: str) -> tuple[Path, str | None]:
    """Return the path of a model's weights, from the hub's local cache if there, and its licence.

    Raises:
        UsageError: this is no hub id.
        WeightsError: the hub gives nothing, or the model has no weights of a known name.
    """
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
        return Path(path), _hub_licence(model_id)
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
