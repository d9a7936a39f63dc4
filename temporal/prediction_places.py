"""Where in a prediction table the frames are that count."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import PredictionError
from .predictions import PredictionTable

Array = NDArray[Any]


def places_of(table: PredictionTable, keys: Sequence[tuple[str, int]], source: str) -> Array:
    """Return the row of the table for each (video, frame number).

    Args:
        table: predictions.
        keys: frames that must be there.
        source: what the predictions are, for the error.

    Raises:
        PredictionError: a frame is not there, or is there twice with different predictions.
    """
    places = table.places()
    missing = [key for key in keys if key not in places]
    if missing:
        video, frame = missing[0]
        message = (
            f"{source} must predict every frame that counts, but lack {len(missing)} of "
            f"{len(keys)}, the first is frame {frame} of {video!r}; predict the whole split"
        )
        raise PredictionError(message)
    return np.array([places[key] for key in keys], np.intp)
