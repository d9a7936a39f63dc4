"""The registered backbones; importing a family's module registers it."""

from . import densenet, iresnet, mae_vit, thumbnail
from .base import BACKBONES, INTERPOLATIONS, BackboneKind, Embedder, Settings, resolve_settings
from .listing import BackboneInfo, backbones_text, list_backbones
from .loading import LoadedBackbone, can_share, load_backbone, load_backbones

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
    "iresnet",
    "list_backbones",
    "load_backbone",
    "load_backbones",
    "mae_vit",
    "resolve_settings",
    "thumbnail",
]
