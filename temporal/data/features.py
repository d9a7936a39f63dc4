"""What a frame's features are: standardised embeddings, with the means that settings ask for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..settings.data import DataSettings
from .standardize import Standardizer
from .timeline import Timeline


class FeatureMaker:
    """Makes features (T, F) of time lines.

    F is the embeddings' dimensions, as often again as means are added: of the frames around
    (`context_mean`), and of the video (`video_mean=add`). All means are over steps of the time
    line, after standardisation.

    Args:
        standardizer: of the training split.
        settings: `context_mean`, `video_mean`.
    """

    def __init__(self, standardizer: Standardizer, settings: DataSettings) -> None:
        self.standardizer = standardizer
        self.context_mean = settings.context_mean
        self.video_mean = settings.video_mean
        n_means = (self.context_mean > 0) + (self.video_mean == "add")
        self.n_features = len(standardizer.mean) * (1 + n_means)
        """F."""
        self._means: dict[str, NDArray[np.float32]] = {}

    def features(self, line: Timeline, start: int, stop: int) -> NDArray[np.float32]:
        """Return features (stop - start, F) float32 of a part of a time line."""
        first, last = max(0, start - self.context_mean), min(len(line), stop + self.context_mean)
        wide = self.standardizer.features(line, first, last)
        blocks = [wide[start - first : stop - first]]
        if self.video_mean != "no":
            mean = self._mean(line)
            if self.video_mean == "subtract":
                wide -= mean
            else:
                blocks.append(np.broadcast_to(mean, blocks[0].shape))
        if self.context_mean:
            blocks.insert(1, _means_around(wide, start - first, stop - first, self.context_mean))
        return np.concatenate(blocks, axis=1) if len(blocks) > 1 else blocks[0]

    def _mean(self, line: Timeline) -> NDArray[np.float32]:
        """Return the mean (F,) over a whole time line."""
        found = self._means.get(line.video)
        if found is None:
            whole = self.standardizer.features(line, 0, len(line))
            found = self._means[line.video] = whole.mean(axis=0, dtype=np.float64).astype("f4")
        return found


def _means_around(
    wide: NDArray[np.float32], start: int, stop: int, n_around: int
) -> NDArray[np.float32]:
    """Return the mean of each row in [start, stop) and of up to `n_around` on either side."""
    sums = np.zeros((len(wide) + 1, wide.shape[1]))
    np.cumsum(wide, axis=0, out=sums[1:])
    place = np.arange(start, stop)
    low, high = (place - n_around).clip(0), (place + n_around + 1).clip(max=len(wide))
    means: Any = (sums[high] - sums[low]) / (high - low)[:, None]
    return means.astype(np.float32)  # type: ignore[no-any-return]


def features_of_all(
    maker: FeatureMaker, lines: Sequence[Timeline], first: Sequence[int], n_rows: int
) -> NDArray[np.float32]:
    """Return the features (n_rows, F) of all lines, each from its `first` row on; 0 elsewhere."""
    features = np.zeros((n_rows, maker.n_features), np.float32)
    for begin, line in zip(first, lines, strict=True):
        features[begin : begin + len(line)] = maker.features(line, 0, len(line))
    return features
