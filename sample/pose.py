"""How head and camera move, and what that does to points of the face."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from .settings import Difficulty
from .streams import Array, Stream

_CENTRE: Final = 56.0
"""The head turns about the middle of the 112 px crop."""


@dataclass(frozen=True)
class Motion:
    """How head and camera stand in each frame, arrays of shape (n,)."""

    yaw: Array
    """Turn to the side, radians."""
    pitch: Array
    """Nod, radians."""
    roll: Array
    """Tilt, radians."""
    scale: Array
    """Size, 1 is the mean."""
    x: Array
    """Shift to the right, pixels of the crop."""
    y: Array
    """Shift down, pixels of the crop."""
    gaze: Array
    """Shift of the irises to the right, pixels."""
    lid: Array
    """How far the eyes are open for a blink, 1 open, 0 shut."""


def draw_motion(n: int, stream: Stream, difficulty: Difficulty) -> Motion:
    """Slow head turns, and a crop that sits a little differently in every frame."""
    turn = stream.path(n, 20, 4) * (difficulty.pose * np.pi / 180.0)
    own = stream.uniforms(3, -1.0, 1.0) * (difficulty.pose * np.pi / 360.0)
    jitter = stream.uniforms((n, 4), -1.0, 1.0) * difficulty.jitter
    lid = np.ones(n)
    starts = np.flatnonzero(stream.uniforms(n) < difficulty.blinks / 2.5)
    lengths = 2 + np.floor(stream.uniforms(n) * 2).astype(np.int64)
    for start in starts:
        lid[start : start + lengths[start]] = 0.1
    return Motion(
        yaw=turn[:, 0] + own[0],
        pitch=0.6 * turn[:, 1] + 0.6 * own[1],
        roll=0.4 * turn[:, 2] + 0.4 * own[2] + jitter[:, 2] * 0.012,
        scale=1.0 + 0.3 * turn[:, 3] + jitter[:, 3] * 0.012,
        x=jitter[:, 0],
        y=jitter[:, 1],
        gaze=stream.path(n, 9)[:, 0] * 1.0,
        lid=lid,
    )


def turn_points(x: Array, y: Array, motion: Motion) -> tuple[Array, Array]:
    """Turn, scale and move points of the frontal plane as points of a round head.

    Args:
        x, y: (n, N) in pixels.
        motion: pose per frame.

    Returns:
        x and y, (n, N), in pixels.
    """
    across, down = x - _CENTRE, y - 56.0
    bulge = 1.0 - (across / 46.0) ** 2 - (down / 70.0) ** 2
    depth = 34.0 * np.sqrt(np.maximum(bulge, 0.0)) - 17.0
    cosine, sine = np.cos(motion.yaw)[:, None], np.sin(motion.yaw)[:, None]
    across, depth = across * cosine + depth * sine, depth * cosine - across * sine
    cosine, sine = np.cos(motion.pitch)[:, None], np.sin(motion.pitch)[:, None]
    down = down * cosine - depth * sine
    near = motion.scale[:, None] * (1.0 + depth / 900.0)
    across, down = across * near, down * near
    cosine, sine = np.cos(motion.roll)[:, None], np.sin(motion.roll)[:, None]
    turned_x = across * cosine - down * sine + _CENTRE + motion.x[:, None]
    turned_y = across * sine + down * cosine + 56.0 + motion.y[:, None]
    return turned_x, turned_y
