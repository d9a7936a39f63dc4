"""Which videos, frame numbers and rows a sample has, before anything is drawn."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from .script import Episode, deal_episodes
from .settings import SPLITS, SampleSettings, Split
from .streams import Stream

_SPREAD: Final = 16.0
"""Longest over shortest video, the single-frame one aside."""

_PATTERNS: Final[dict[Split, tuple[tuple[int, tuple[bool, bool, bool]], ...]]] = {
    "train": (
        (366, (True, True, True)),
        (180, (True, False, True)),
        (90, (True, True, False)),
        (90, (False, True, True)),
        (94, (True, False, False)),
        (91, (False, True, False)),
        (89, (False, False, True)),
    ),
    "val": ((574, (True, True, True)), (426, (True, False, True))),
}
"""Rows in 1,000 on which (valence and arousal, expression, AUs) are labelled: the published
marginals 73, 64, 73 % with all three on 37 %, and 100, 57, 100 %."""


@dataclass
class VideoPlan:
    """One video: who, how long, which frame numbers have a crop and which have rows."""

    name: str
    """Id and folder, in one of the challenge's three styles; `_left` and `_right` for a pair."""
    split: Split
    person: int
    """Number of the identity; no two videos share one."""
    episodes: list[Episode]
    """What the face does, over the whole time line, gaps included."""
    crops: list[int]
    """Frame numbers with a crop, ascending, 1-based."""
    rows: list[int]
    """Frame numbers of the annotation rows, ascending, a duplicate twice."""
    labelled: dict[int, tuple[bool, bool, bool]]
    """Frame number -> are valence and arousal, expression, AUs labelled; empty in the test list."""
    truncated: set[int] = field(default_factory=set)
    """Frame numbers whose JPEG ends early."""

    @property
    def length(self) -> int:
        """Frames of the time line; the largest possible frame number."""
        return sum(episode.length for episode in self.episodes)


def plan(settings: SampleSettings) -> list[VideoPlan]:
    """Return the videos of a sample, split after split, in the order of the annotation files."""
    numbers = Stream(settings.seed, 0).permutation(sum(settings.n_videos.values()))
    videos: list[VideoPlan] = []
    for split in SPLITS:
        persons = range(len(videos), len(videos) + settings.n_videos[split])
        if persons:
            videos += _plan_split(split, list(persons), numbers, settings)
    return videos


def _plan_split(
    split: Split, persons: list[int], numbers: list[int], settings: SampleSettings
) -> list[VideoPlan]:
    """Plan one split."""
    stream = Stream(settings.seed, 1, SPLITS.index(split))
    names = _names(persons, numbers, pair=split == "train", stream=stream)
    sizes = _sizes(len(persons), settings.frames, stream)
    kept = [_kept_frames(size, settings.gaps, stream) for size in sizes]
    dealt = deal_episodes([frames[-1] for frames in kept], stream)
    videos = [
        VideoPlan(name, split, person, episodes, frames, list(frames), {})
        for name, person, episodes, frames in zip(names, persons, dealt, kept, strict=True)
    ]
    _make_uneven(videos, settings, stream)
    if split == "test":
        _truncate(videos, settings.truncated_test_images, stream)
    else:
        _label(videos, settings.labelled == "all", split, stream)
    return videos


def _names(persons: list[int], numbers: list[int], *, pair: bool, stream: Stream) -> list[str]:
    """Video ids: a plain number, `videoN` or `N-FPS-WxH`, as the challenge has them."""
    names = []
    for person in persons:
        number = numbers[person] + 1
        size = stream.choice(("1280x720", "1920x1080", "640x360", "406x720"))
        long = f"{number}-{stream.choice((30, 24, 25, 60, 15))}-{size}"
        names.append(stream.choice((long, f"{number}", f"{number}", f"video{number}")))
    if pair:
        names[:2] = [f"{names[0]}_left", f"{names[0]}_right"]
    return names


def _sizes(n_videos: int, mean: int, stream: Stream) -> list[int]:
    """Frames of each video: log-uniform, `n_videos` x `mean` in all, one single frame."""
    weight = _SPREAD ** stream.uniforms(n_videos)
    single = 2 + stream.below(n_videos - 2) if n_videos >= 6 else None
    if single is not None:
        weight[single] = 0.0
    share = weight / weight.sum() * (n_videos * mean)
    sizes = [max(1, int(np.rint(value))) for value in share]
    longest = sizes.index(max(sizes))
    sizes[longest] = max(1, sizes[longest] + n_videos * mean - sum(sizes))
    return sizes


def _kept_frames(size: int, gaps: float, stream: Stream) -> list[int]:
    """`size` ascending frame numbers from a time line with runs of lost frames."""
    n_lost = int(np.rint(size * gaps / (1.0 - gaps)))
    is_kept = np.ones(size + n_lost, bool)
    while n_lost > 0:
        run = min(1 + stream.below(12), n_lost)
        start = stream.below(len(is_kept) - run + 1)
        if is_kept[start : start + run].all():
            is_kept[start : start + run] = False
            n_lost -= run
        elif run == n_lost:  # a crowded time line: lose any frame that is left
            left = np.flatnonzero(is_kept)
            is_kept[left[stream.below(len(left))]] = False
            n_lost -= 1
    return [int(index) + 1 for index in np.flatnonzero(is_kept)]


def _make_uneven(videos: list[VideoPlan], settings: SampleSettings, stream: Stream) -> None:
    """Take crops from some rows and rows from some crops, and write some rows twice.

    Videos of fewer than five frames are left whole. Of each kind there is at least one where its
    share is not 0 and the split has frames enough.
    """
    frames = [
        (video, frame) for video in videos if len(video.crops) >= 5 for frame in video.crops[1:]
    ]
    order = stream.permutation(len(frames))

    def take(share: float) -> list[tuple[VideoPlan, int]]:
        count = max(1, round(share * len(frames))) if share > 0 else 0
        taken = [frames[index] for index in order[:count]]
        del order[:count]
        return taken

    for video, frame in take(settings.unlisted_crops):
        video.rows.remove(frame)
    for video, frame in take(settings.missing_crops):
        video.crops.remove(frame)
    for video, frame in take(settings.duplicate_rows):
        video.rows.insert(video.rows.index(frame), frame)


def _truncate(videos: list[VideoPlan], count: int, stream: Stream) -> None:
    """Choose the test crops that end early, never all of a video."""
    frames = [(video, frame) for video in videos for frame in video.crops[1:]]
    for index in stream.permutation(len(frames))[:count]:
        video, frame = frames[index]
        video.truncated.add(frame)


def _label(videos: list[VideoPlan], everything: bool, split: Split, stream: Stream) -> None:
    """Deal which tasks are labelled, in short runs, at the published shares."""
    patterns = ((1000, (True, True, True)),) if everything else _PATTERNS[split]
    deck: list[tuple[bool, bool, bool]] = []
    for video in videos:
        frames = sorted(set(video.rows))
        while frames:
            if not deck:
                full = [pattern for count, pattern in patterns for _ in range(count // 10)]
                deck = [full[index] for index in stream.permutation(len(full))]
            run = 1 + stream.below(4)
            video.labelled.update(dict.fromkeys(frames[:run], deck.pop()))
            del frames[:run]
