"""The registered backbones; importing a family's module registers it."""

from . import densenet, iresnet, mae_vit, thumbnail
from .base import Embedder, forward_all
from .kinds import BACKBONES, BackboneKind
from .listing import BackboneInfo, backbones_text, list_backbones
from .loading import LoadedBackbone, can_share, load_backbone, load_backbones
from .settings import INTERPOLATIONS, Settings, resolve_settings

__all__ = [
    "BACKBONES",
    "INTERPOLATIONS",
    "BackboneInfo",
    "BackboneKind",
    "Embedder",
    "LoadedBackbone",
    "Settings",
    "backbones_text",
    "can_share",
    "densenet",
    "forward_all",
    "iresnet",
    "list_backbones",
    "load_backbone",
    "load_backbones",
    "mae_vit",
    "resolve_settings",
    "thumbnail",
]
