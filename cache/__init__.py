"""The contract between the stages: stores of embeddings and of labels. Works without torch."""

from .convert import convert_store
from .describe import CacheDescription, describe_cache
from .errors import (
    CacheError,
    CorruptStoreError,
    FingerprintError,
    FormatVersionError,
    InteropError,
    LockedError,
    StoreExistsError,
    StoreMissingError,
    VideoMissingError,
)
from .interop import import_features
from .interop_export import export_features
from .interop_summary import ImportSummary
from .label_files import write_labels
from .label_table import SPLITS, LabelTable, Split
from .labels import LabelRecord, LabelStore
from .locate import list_stores, named_or_all, store_path
from .merge import merge_stores
from .object_path import ObjectPath
from .remove import Usage, disk_usage, remove_named, remove_videos, usage_text
from .repair import repair_store
from .spec import EmbeddingSpec
from .store import EmbeddingStore, VideoRecord, open_store
from .verify import Problem, Verification, verify_store
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
    "ImportSummary",
    "InteropError",
    "LabelRecord",
    "LabelStore",
    "LabelTable",
    "LockedError",
    "ObjectPath",
    "Piece",
    "Problem",
    "Split",
    "StoreExistsError",
    "StoreMissingError",
    "StoreWriter",
    "Usage",
    "Verification",
    "VideoMissingError",
    "VideoRecord",
    "VideoState",
    "convert_store",
    "describe_cache",
    "disk_usage",
    "export_features",
    "import_features",
    "list_stores",
    "named_or_all",
    "merge_stores",
    "open_store",
    "remove_named",
    "remove_videos",
    "repair_store",
    "store_path",
    "usage_text",
    "verify_store",
    "write_labels",
]
