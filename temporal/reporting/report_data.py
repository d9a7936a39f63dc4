"""What the sections of a page share: the board, and predictions that are read once."""

from functools import cached_property

from ...core.errors import UsageError
from ...core.names import near_misses
from .board import Board
from .evidence import Repeat, constant_repeat, repeats
from .parts import count
from .significance import Significance, significance


class ReportData:
    """A board, and what is worked out of its predictions when a section asks for it.

    Args:
        board: the rows.
        videos: whose traces are shown; by default some are chosen.

    Raises:
        UsageError: a video has no validation row.
    """

    def __init__(self, board: Board, videos: tuple[str, ...] = ()) -> None:
        self.board = board
        self.videos = videos
        known = {video for one in board.selections.values() for video, _ in one.rows("val").keys}
        for video in videos:
            if video not in known:
                message = (
                    f"--video must be a video with validation rows, but {video!r} is none; "
                    f"{near_misses(video, known)}"
                )
                raise UsageError(message)

    @cached_property
    def best(self) -> list[Repeat]:
        """Predictions of the best row, one table a seed.

        Raises:
            PredictionError: they cannot be used.
        """
        return repeats(self.board, self.board.best)

    @cached_property
    def constant(self) -> Repeat:
        """What the constant predictor says about the rows of `best`."""
        return constant_repeat(self.board, self.best[0].folds)

    @cached_property
    def significance(self) -> Significance:
        """All rows against the best one.

        Raises:
            PredictionError: the best row's predictions cannot be used.
        """
        return significance(self.board)

    @cached_property
    def scope(self) -> str:
        """What the figures are of, for captions."""
        folds = sorted(self.board.selections)
        keys = [self.board.selections[fold].rows("val").keys for fold in folds]
        videos = {video for some in keys for video, _ in some}
        numbers = [fold for fold, _ in folds]
        where = "official validation split"
        if numbers != [0]:
            where = f"validation splits of the folds {', '.join(map(str, numbers))}"
        rows = sum(map(len, keys))
        return f"{where}: {count(len(videos), 'video')}, {count(rows, 'annotated row')}"
