"""What a sample data set is made of: its settings, presets and grades of difficulty."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Literal

from ..core.errors import UsageError
from ..core.names import near_misses

SAMPLE_VERSION: Final = 1
"""Raised by every change that alters a byte of the labels or a pixel of the frames."""

Split = Literal["train", "val", "test"]
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """How much of a frame's variation is not affect. All lengths are pixels of a 112 px crop."""

    identity: float
    """Spread of face shapes, skin and hair: 0 draws one person, 1 the widest range."""
    background: float
    """Colour and contrast of the background: 0 is one grey, 1 strong colours."""
    pose: float
    """Half range of slow head turns, in degrees."""
    jitter: float
    """Half range of the crop's own position error, drawn anew for every frame, in pixels."""
    flicker: float
    """How far what a frame shows of an AU strays from the AU's intensity, frame by frame (standard
    deviation): speech, twitches, motion blur. It is why the frames around help."""
    blinks: float
    """Share of the frames in which the eyes are shut by a blink (two or three frames long)."""
    noise: float
    """Standard deviation of the sensor noise, in grey levels of 256."""
    gain: float
    """How far an action unit at full intensity moves the face; 1 is natural to broad."""


DIFFICULTIES: Final[dict[str, Difficulty]] = {
    "easy": Difficulty(
        identity=0.25,
        background=0.1,
        pose=2.0,
        jitter=0.5,
        flicker=0.05,
        blinks=0.0,
        noise=2.0,
        gain=1.2,
    ),
    "moderate": Difficulty(
        identity=0.35,
        background=0.12,
        pose=4.0,
        jitter=1.5,
        flicker=0.2,
        blinks=0.03,
        noise=3.0,
        gain=1.15,
    ),
    "hard": Difficulty(
        identity=0.8,
        background=0.6,
        pose=10.0,
        jitter=3.0,
        flicker=0.3,
        blinks=0.05,
        noise=9.0,
        gain=0.8,
    ),
}
"""`moderate` is meant for untrained networks and about 30 training videos; on `hard` they learn
little."""


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """One sample data set. The same settings give the same labels and pixels."""

    seed: int = 0
    """Another seed draws other people, other expressions, other gaps."""
    n_train_videos: int = 40
    """Videos of the training split; the first two are the two people of one recording."""
    n_val_videos: int = 20
    """Videos of the validation split, of people who are in no other split."""
    n_test_videos: int = 10
    """Videos of the test list, of people who are in no other split; no labels are written."""
    frames: int = 60
    """Mean number of frames per video, over each split. Lengths differ up to 16-fold; in a split
    of six or more videos one has a single frame."""
    difficulty: str = "moderate"
    """A key of `DIFFICULTIES`: how much identity, pose, crop jitter and noise hide the affect."""
    labelled: str = "published"
    """`published`: each task is labelled on the challenge's own share of the rows (training
    valence and arousal 73 %, expression 64 %, AUs 73 %; validation 100, 57 and 100 %).
    `all`: every row has every label."""
    gaps: float = 0.1
    """Share of a recording's frame numbers that have neither crop nor row, in runs."""
    missing_crops: float = 0.01
    """Share of the rows whose crop does not exist (published: ABAW3 1.7 %, ABAW4 none)."""
    unlisted_crops: float = 0.02
    """Share of the crops that no row lists."""
    duplicate_rows: float = 0.01
    """Share of the rows that are written twice, next to each other (published: 0.7 to 1.4 %)."""
    truncated_test_images: int = 1
    """Test crops whose JPEG ends early, as far as there are any; the challenge's test set has one
    such image."""

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            message = (
                f"there is no difficulty {self.difficulty!r}; known are {', '.join(DIFFICULTIES)}"
            )
            raise UsageError(message)
        if self.labelled not in {"published", "all"}:
            message = f"labelled must be 'published' or 'all', but got {self.labelled!r}"
            raise UsageError(message)
        least = {"n_train_videos": 2, "n_val_videos": 1, "frames": 1}
        counts = ("n_train_videos", "n_val_videos", "n_test_videos", "truncated_test_images")
        for name in ("seed", "frames", *counts):
            self._check(name, least.get(name, 0), 1_000_000_000)
        for name in ("gaps", "missing_crops", "unlisted_crops", "duplicate_rows"):
            self._check(name, 0.0, 0.5)

    def _check(self, name: str, low: float, high: float) -> None:
        """Refuse a value outside its range."""
        value = getattr(self, name)
        if not low <= value <= high:
            message = f"{name} of a sample must be from {low} to {high}, but got {value}"
            raise UsageError(message)

    @property
    def n_videos(self) -> dict[Split, int]:
        """Number of videos of each split."""
        return {"train": self.n_train_videos, "val": self.n_val_videos, "test": self.n_test_videos}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON takes them."""
        return asdict(self)


PRESETS: Final[dict[str, SampleSettings]] = {
    "demo": SampleSettings(n_train_videos=30, n_val_videos=10, n_test_videos=4, frames=30),
    "default": SampleSettings(),
    "bench": SampleSettings(n_train_videos=60, n_val_videos=40, n_test_videos=10, frames=100),
}
"""`demo` is for two CPU cores and a few minutes; `bench` for figures worth comparing."""

_KINDS: Final[dict[str, type]] = {
    field.name: type(getattr(PRESETS["default"], field.name)) for field in fields(SampleSettings)
}


def settings_from_text(
    preset: str = "default",
    seed: int | None = None,
    pairs: tuple[str, ...] = (),
) -> SampleSettings:
    """Return the settings that the command line asks for.

    Args:
        preset: a key of `PRESETS`.
        seed: replaces the preset's seed where given.
        pairs: `key=value` texts, each replacing one field.

    Raises:
        UsageError: the preset or a key is unknown, or a value cannot be read or is out of range.
    """
    if preset not in PRESETS:
        message = f"there is no sample preset {preset!r}; {near_misses(preset, PRESETS)}"
        raise UsageError(message)
    changes: dict[str, Any] = {} if seed is None else {"seed": seed}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            message = f"a setting is written key=value, but got {pair!r}"
            raise UsageError(message)
        if key not in _KINDS:
            message = f"a sample has no setting {key!r}; {near_misses(key, _KINDS)}"
            raise UsageError(message)
        try:
            changes[key] = _KINDS[key](text)
        except ValueError as error:
            kind = {"int": "a whole number", "float": "a number"}[_KINDS[key].__name__]
            message = f"the sample setting {key} must be {kind}, but got {text!r}"
            raise UsageError(message) from error
    return replace(PRESETS[preset], **changes)
