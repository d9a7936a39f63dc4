"""What a run learns from: embeddings, labels, folds, and how they become sequences."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from .base import MOST, CountOrNone, Settings, Share

Fill = Literal["hold", "zero", "drop"]
TimeAxis = Literal["rows", "frames"]
VideoMean = Literal["no", "add", "subtract"]
Fold = Annotated[int, Field(ge=0, le=MOST)] | Literal["all"]


def _names(value: object) -> object:
    return value.split("+") if isinstance(value, str) else value


class DataSettings(Settings):
    """Settings of the data."""

    features: Annotated[tuple[str, ...], BeforeValidator(_names)]
    """Names of embeddings; concatenated in this order."""
    labels: str = "labels"
    """Name of the labels store."""
    fold: Fold = 0
    """0 is the official split; k the k-th of the fold file; `all` trains on train and validation
    split together, for all `epochs`, and keeps the last weights."""
    folds: str = "folds"
    """Name of the fold file in the cache, made by `abaw folds --name`; for a fold above 0."""

    fill: Fill = "hold"
    """What a frame without an embedding gets: the last one before it, 0 (the training mean), or it
    is dropped."""
    max_missing: Share = 0.05
    """Largest share of a split's labelled frames that may lack an embedding; 1 allows any."""
    time_axis: TimeAxis = "rows"
    """A step is a row that is there (`rows`), or each frame number from the first to the last, so
    that a gap takes the time that it took (`frames`); what is missing gets what `fill` says."""
    max_gap: Annotated[int, Field(ge=1, le=MOST)] = 30
    """Most steps that a gap becomes under `time_axis=frames`."""
    supplement: CountOrNone = 0
    """In training, a frame without a label of a task gets that of the nearest labelled frame of
    its video, at most this many frame numbers away; 0 leaves it unlabelled."""

    context_mean: CountOrNone = 0
    """Adds to each frame's features their mean over this many frames before and after it."""
    video_mean: VideoMean = "no"
    """Adds the mean of the video's features to each frame's, or subtracts it from them."""
