"""The contract between the stages: stores of embeddings and of labels. Works without torch."""

from .describe import CacheDescription, describe_cache
from .errors import (
    CacheError,
    CorruptStoreError,
    FingerprintError,
    FormatVersionError,
    LockedError,
    StoreExistsError,
    StoreMissingError,
    VideoMissingError,
)
from .labels import SPLITS, LabelRecord, LabelStore, LabelTable, Split, write_labels
from .locate import list_stores
from .object_path import ObjectPath
from .spec import EmbeddingSpec
from .store import EmbeddingStore, VideoRecord, open_store
from .versions import Failure, Piece, VideoState
from .writer import StoreWriter

__all__ = [
    "SPLITS",
    "CacheDescription",
    "CacheError",
    "CorruptStoreError",
    "EmbeddingSpec",
    "EmbeddingStore",
    "Failure",
    "FingerprintError",
    "FormatVersionError",
    "LabelRecord",
    "LabelStore",
    "LabelTable",
    "LockedError",
    "ObjectPath",
    "Piece",
    "Split",
    "StoreExistsError",
    "StoreMissingError",
    "StoreWriter",
    "VideoMissingError",
    "VideoRecord",
    "VideoState",
    "describe_cache",
    "list_stores",
    "open_store",
    "write_labels",
]
