"""From a name to a backbone: registered, timm's, an entry point's, or a user's file."""

from ...core.errors import NameLookupError
from ...core.names import near_misses
from ..requests import EmbeddingRequest
from .kinds import BACKBONES, BackboneKind
from .timm_any import PREFIX, timm_kind


def find_kind(request: EmbeddingRequest) -> BackboneKind:
    """Return the backbone that a request names.

    Raises:
        NameLookupError: there is none; the message lists the nearest.
        UsageError: a user's own module cannot be made.
    """
    name = request.backbone
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(PREFIX):
        return timm_kind(name)
    message = f"there is no backbone {name!r}; {near_misses(name, BACKBONES)}"
    raise NameLookupError(message)
