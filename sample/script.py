"""What the faces do: a hidden script of episodes, and the smooth AU intensities that come of it.

Each video is a chain of episodes of 24 to 42 frames (down to 8 in a split of few frames). An
episode aims at one expression: the AUs of that expression rise to 0.65 to 1, each of those that
may come along rises in every second such episode, and in every second episode one further AU
rises to 0.6 to 0.9, the one that has been shown least. All others stay below 0.2. Between episodes
each AU goes over in 5 to 9 frames, on its own beat. Aims are dealt over the videos of a split so
that each gets its share of the frames. The labels are not the aims: they follow from the
intensities alone (`rules`).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from ..core.tasks import AUS, EXPRESSIONS
from .rules import ALONG, COLUMN, OWN, Array
from .streams import Stream, smoothstep

AIMS: Final = EXPRESSIONS
_SHORTEST, _LONGEST_SHORTEST = 8, 24
"""Range of the shortest episode; a split aims to hold 16 episodes at least."""
_WEIGHT: Final = {"Neutral": 0.8, "Other": 0.85}
"""Transitions add frames to these two, so they are aimed at less often."""

MIXTURES: Final[tuple[tuple[int, ...], ...]] = (
    (12, 24),
    (6, 24),
    (4, 12),
    (2, 23),
    (10, 12, 4),
    (6, 15),
    (2, 12),
    (10, 23),
    (26, 25, 4),
    (26, 25, 6),
)
"""What an episode that aims at Other shows."""


@dataclass(frozen=True)
class Episode:
    """A stretch of a video with one aim."""

    aim: str
    """One of `EXPRESSIONS`."""
    shown: frozenset[int]
    """AUs that rise fully."""
    accent: frozenset[int]
    """AUs that rise a little less."""
    length: int
    """Frames, from the middle of the going over to the middle of the next."""


class _Dealer:
    """Deals aims and AUs evenly over the frames of one split."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.aimed = {aim: stream.uniform() for aim in AIMS}
        self.seen = {unit: stream.uniform() for unit in COLUMN}
        self.turn = {
            (aim, unit): stream.below(2) == 1 for aim, units in ALONG.items() for unit in units
        }
        self.accent_turn = stream.below(2) == 1
        self.mixtures: list[int] = []

    def next(self, length: int, last: str) -> Episode:
        """Return an episode of the aim that is most behind, other than the last."""
        order = [AIMS[index] for index in self.stream.permutation(len(AIMS))]
        aim = min((a for a in order if a != last), key=lambda a: self.aimed[a])
        self.aimed[aim] += length / _WEIGHT.get(aim, 1.0)
        shown = set(OWN.get(aim, ()))
        if aim == "Other":
            if not self.mixtures:
                self.mixtures = self.stream.permutation(len(MIXTURES))
            shown = set(MIXTURES[self.mixtures.pop()])
        for unit in ALONG.get(aim, ()):
            self.turn[aim, unit] = not self.turn[aim, unit]
            if self.turn[aim, unit]:
                shown.add(unit)
        accent = self._accent(aim, shown)
        for unit in shown | accent:
            self.seen[unit] += length
        return Episode(aim, frozenset(shown), frozenset(accent), length)

    def _accent(self, aim: str, shown: set[int]) -> set[int]:
        """Every second time, the AU seen least of those that go with what is shown."""
        if aim == "Neutral":
            return set()
        self.accent_turn = not self.accent_turn
        if not self.accent_turn:
            return set()
        barred = {26, 24} if 25 in shown else {26, 25} if 24 in shown else {26}
        return {min(set(COLUMN) - shown - barred, key=lambda unit: self.seen[unit])}


def deal_episodes(lengths: list[int], stream: Stream) -> list[list[Episode]]:
    """Fill videos of the given lengths with episodes, each aim by its share of all frames.

    Args:
        lengths: frames of each video's time line.
        stream: the split's own stream.
    """
    dealer = _Dealer(stream)
    shortest = min(max(sum(lengths) // 16, _SHORTEST), _LONGEST_SHORTEST)
    dealt: list[list[Episode]] = [[] for _ in lengths]
    for video in stream.permutation(len(lengths)):
        left, last = lengths[video], ""
        while left > 0:
            length = min(left, shortest + stream.below(shortest * 3 // 4 + 1))
            if left - length < 6:
                length = left
            episode = dealer.next(length, last)
            dealt[video].append(episode)
            left, last = left - length, episode.aim
    return dealt


def _apex(episode: Episode, stream: Stream) -> Array:
    """Intensities that an episode goes to, shape (12,)."""
    apex = stream.uniforms(len(AUS), 0.0, 0.2)
    full, less = stream.uniforms(len(AUS), 0.65, 1.0), stream.uniforms(len(AUS), 0.6, 0.9)
    for unit, column in COLUMN.items():
        if unit in episode.shown:
            apex[column] = full[column]
        elif unit in episode.accent:
            apex[column] = less[column]
    return apex


def intensities(episodes: list[Episode], stream: Stream) -> Array:
    """Return the AU intensities of one video, shape (n, 12), in [0, 1].

    A dropped jaw parts the lips: AU25 is never below AU26. Pressed lips (AU24) are not parted:
    where both would be, AU24 gives way.
    """
    n = sum(episode.length for episode in episodes)
    time = np.arange(n, dtype=np.float64)[:, None]
    apex = _apex(episodes[0], stream)
    intensity = np.tile(apex, (n, 1))
    start = 0
    for before, episode in pairwise(episodes):
        start += before.length
        goal = _apex(episode, stream)
        duration = stream.uniforms(len(AUS), 5.0, 9.0)
        beat = start + stream.uniforms(len(AUS), -2.0, 2.0)
        intensity = intensity + (goal - apex) * smoothstep((time - beat) / duration + 0.5)
        apex = goal
    intensity = np.clip(intensity + 0.05 * stream.path(n, 7, len(AUS)), 0.0, 1.0)
    parted, dropped, pressed = COLUMN[25], COLUMN[26], COLUMN[24]
    intensity[:, parted] = np.maximum(intensity[:, parted], intensity[:, dropped])
    intensity[:, pressed] = np.minimum(intensity[:, pressed], 1.0 - intensity[:, parted])
    return intensity
