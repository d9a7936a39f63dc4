"""Stage 1: frames to embeddings."""

from .backbones import backbones_text, list_backbones, load_backbone
from .errors import ExtractError, FramesError, WeightsError
from .interrupt import InterruptedRunError
from .options import RunOptions, Shard, parse_devices, parse_shard
from .recheck import Recheck, recheck
from .requests import EmbeddingRequest, read_requests, requests_from_command
from .runner import run
from .summary import EmbeddingSummary, ExtractSummary

__all__ = [
    "EmbeddingRequest",
    "EmbeddingSummary",
    "ExtractError",
    "ExtractSummary",
    "FramesError",
    "InterruptedRunError",
    "Recheck",
    "RunOptions",
    "Shard",
    "WeightsError",
    "backbones_text",
    "list_backbones",
    "load_backbone",
    "parse_devices",
    "parse_shard",
    "read_requests",
    "recheck",
    "requests_from_command",
    "run",
]
