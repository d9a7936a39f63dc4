"""Where every point of a face lies, for all frames of a video at once.

A face is first built from the front in a plane of 112 x 112 pixels, x to the right, y down, eyes
near y = 48. Each action unit moves the points that the muscle moves:

======  =====================================================================
AU      what is seen
======  =====================================================================
1, 2    inner, outer part of the brow goes up; lines on that part of the forehead
4       brows go down and together; upright lines between them
6       cheeks go up: bright ball under the eye, raised lower lid, crow's feet
7       both lids close in on the eye
10      upper lip and nose wings go up; the fold beside the nose deepens
12      mouth corners go up and out; cheeks fill; a fold from nose to corner
15      mouth corners go down; a dent under each
23      lips grow narrow and thin; lines around the mouth
24      lips are pressed to a line; bulges above and below it
25      lips part: teeth and a dark opening
26      jaw and lower lip go down, the chin with them
======  =====================================================================

AU1 and AU2 together also widen the eyes (AU5, the upper lid raiser, is not among the challenge's
twelve). Then all points of all frames are turned and moved by one call, as points of a round head
under weak perspective.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from .person import Person
from .pose import Motion, turn_points
from .rules import COLUMN
from .streams import Array

MIDDLE: Final = 56.0
"""The face's middle line."""
EYE_Y: Final = 48.0
"""Height of the eyes, from the upper edge."""

_T: Final = np.linspace(-1.0, 1.0, 13)
_HUMP: Final = 1.0 - _T * _T
_LIP: Final = np.array([0.0, 0.5, 0.75, 0.9, 1.0, 1.05, 0.85, 1.05, 1.0, 0.9, 0.75, 0.5, 0.0])
"""Thickness of the upper lip from corner to corner, with the bow in the middle."""
_RING: Final = np.arange(40) / 40 * 2 * np.pi


@dataclass(frozen=True)
class Faces:
    """The points of a video's faces."""

    points: npt.NDArray[np.int64]
    """(n, N, 2), x and y in units of `1 / fineness` crop pixels."""
    parts: dict[str, slice]
    """Name of a part -> which of the N points are its outline."""


class _Builder:
    """Collects parts, each an (n, k) array of x and one of y."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.x: list[Array] = []
        self.y: list[Array] = []
        self.parts: dict[str, slice] = {}
        self.size = 0

    def add(self, name: str, x: Array, y: Array) -> None:
        """Add a part; x and y broadcast to (n, k)."""
        x, y = np.broadcast_arrays(x, y)
        shape = (self.n, x.shape[-1])
        self.x.append(np.broadcast_to(x, shape))
        self.y.append(np.broadcast_to(y, shape))
        self.parts[name] = slice(self.size, self.size + shape[1])
        self.size += shape[1]

    def add_pair(self, name: str, x: Array, y: Array) -> None:
        """Add a part of the right half of the picture and its mirror image."""
        self.add(f"{name}_right", MIDDLE + x, y)
        self.add(f"{name}_left", MIDDLE - x, y)


def place_faces(
    person: Person, au: Array, motion: Motion, gain: float = 1.0, fineness: int = 4
) -> Faces:
    """Return the points of one person's face in n frames.

    Args:
        person: whose face.
        au: (n, 12) intensities in [0, 1], in the order of `core.tasks.AUS`.
        motion: pose, crop error, gaze and blinks.
        gain: how far an AU at full intensity moves the face, 1 is natural to broad.
        fineness: points come out in units of 1 / fineness pixels.
    """
    units = {unit: gain * au[:, column, None] for unit, column in COLUMN.items()}
    builder = _Builder(len(au))
    _head(builder, person, units)
    _eyes(builder, person, units, motion)
    _brows(builder, person, units)
    _nose(builder, person, units)
    _mouth(builder, person, units)
    _skin_folds(builder, person, units)
    x, y = np.concatenate(builder.x, axis=1), np.concatenate(builder.y, axis=1)
    points = np.stack(turn_points(x, y, motion), axis=2) * fineness
    return Faces(np.rint(points).astype(np.int64), builder.parts)


def _head(builder: _Builder, person: Person, units: dict[int, Array]) -> None:
    """Face outline, hair behind it, hair over the forehead, neck."""
    side, down = np.sin(_RING), -np.cos(_RING)  # the ring begins at the top, clockwise
    chin = person.chin - 2.5 + 7.5 * units[26]
    below = np.clip(down, 0.0, 1.0)
    width = person.face_width - (person.face_width - person.jaw_width) * below
    x = MIDDLE + width * np.where(down > 0, np.sign(side) * np.sqrt(1.0 - below**3.2), side)
    y = EYE_Y + np.where(down > 0, chin * down, 46.0 * down)
    builder.add("face", x, y)

    volume = person.hair_volume
    reach = person.hair_length - EYE_Y
    hair_y = EYE_Y + np.where(down > 0, reach * down, (47.0 + volume) * down)
    builder.add("hair", MIDDLE + (person.face_width + volume) * side, hair_y)
    fringe = np.linspace(-1.0, 1.0, 15)
    arc = person.hairline - EYE_Y
    lift = 1.0 - (fringe - person.parting / 40.0) ** 2 * 0.9
    line = EYE_Y + arc * np.maximum(lift, 0.1)
    over = EYE_Y - (47.0 + volume) * np.sqrt(1.0 - 0.9 * fringe**2)
    wide = MIDDLE + (person.face_width + 1.0) * fringe
    builder.add("fringe", np.r_[wide, wide[::-1]], np.r_[line, over[::-1]])
    neck = np.array([-23.0, 23.0, 27.0, 44.0, -44.0, -27.0])
    builder.add("neck", MIDDLE + neck, np.array([84.0, 84.0, 112.0, 128.0, 128.0, 112.0]))


def _eyes(builder: _Builder, person: Person, units: dict[int, Array], motion: Motion) -> None:
    """White, iris and pupil cut by the lids, lash line, lid fold, lower line."""
    wide = np.minimum(units[1], units[2])
    narrow = np.clip(1.0 - 0.58 * units[7] - 0.12 * units[6], 0.08, 1.0)
    lid = motion.lid[:, None]
    upper = person.eye_open * (1.15 + 0.55 * wide) * narrow * lid + 0.15
    lower = person.eye_open * (0.75 + 0.15 * wide - 0.45 * units[7] - 0.4 * units[6]) * lid
    lower = np.maximum(lower, 0.12 - 0.9 * units[6])
    across = person.eye_width * _T
    for side, sign in (("right", 1.0), ("left", -1.0)):
        middle = MIDDLE + sign * person.eye_distance
        tilt = -0.6 * _T * sign
        top, bottom = EYE_Y - upper * _HUMP + tilt, EYE_Y + lower * _HUMP + tilt
        outline = np.concatenate([top, bottom[:, ::-1]], axis=1)
        builder.add(f"white_{side}", middle + np.r_[across, across[::-1]], outline)
        for name, radius in (("iris", 4.0), ("pupil", 1.9)):
            around = motion.gaze[:, None] + radius * np.sin(_RING[::2])
            hump = 1.0 - (around / person.eye_width) ** 2
            ball = EYE_Y - 0.3 - radius * np.cos(_RING[::2])
            cut = np.clip(ball, EYE_Y - upper * hump, EYE_Y + np.maximum(lower * hump, -upper))
            builder.add(f"{name}_{side}", middle + around, cut)
        glint = np.clip(EYE_Y - 1.6 + np.array([0.0, 0.0, 1.3, 1.3]), EYE_Y - upper, EYE_Y + 2)
        builder.add(
            f"glint_{side}",
            middle + motion.gaze[:, None] + np.array([-2.0, -0.7, -0.7, -2.0]),
            glint,
        )
        lash = np.concatenate([top - 0.5 - 0.5 * _HUMP, (top + 0.6)[:, ::-1]], axis=1)
        builder.add(f"lash_{side}", middle + np.r_[across, across[::-1]] * 1.06, lash)
        builder.add(f"lid_{side}", middle + across * 1.05, top - 2.6 + 1.2 * wide + 0.6 * units[4])
        builder.add(f"bag_{side}", middle + across, bottom + 1.6 - 0.6 * units[6])


def _brows(builder: _Builder, person: Person, units: dict[int, Array]) -> None:
    """Brows from the inner to the outer end; AU1, 2 and 4 move them."""
    along = np.linspace(0.0, 1.0, 9)  # inner to outer
    inner, outer = (1.0 - along) ** 2, along * (1.6 - 0.6 * along)
    wave = 4.0 * along * (1.0 - along)
    x = 8.0 + (person.eye_distance + 4.5) * along - 3.2 * units[4] * (1.0 - along)
    y = EYE_Y - person.brow_height - person.brow_arch * wave
    y = y - 7.0 * units[1] * inner - 6.5 * units[2] * outer * (0.6 + 0.4 * wave)
    y = y + units[4] * (4.6 * (1.0 - along) + 2.6 * along)
    thick = person.brow_thickness * (1.0 - 0.62 * along**2) * 0.5
    edge_y = np.concatenate([y - thick, (y + thick)[:, ::-1]], axis=1)
    builder.add_pair("brow", np.concatenate([x, x[:, ::-1]], axis=1), edge_y)


def _nose(builder: _Builder, person: Person, units: dict[int, Array]) -> None:
    """Shaded side, wings, nostrils; AU10 raises and widens the wings."""
    tip = EYE_Y + person.nose_length - 1.6 * units[10]
    wing = person.nose_width * (1.0 + 0.16 * units[10] + 0.06 * units[12])
    flat = np.zeros_like(tip)
    side_x = np.concatenate([flat + 2.6, flat + 3.2, wing * 0.72, flat + 1.0], axis=1)
    side_y = np.concatenate([flat + EYE_Y - 3, flat + EYE_Y + 8, tip - 3.5, tip - 5.0], axis=1)
    builder.add_pair("nose_side", side_x, side_y)
    under = np.array([-1.0, -0.75, 0.0, 0.75, 1.0])
    below = np.array([-1.8, 1.0, 1.7, 1.0, -1.8])
    line_x, line_y = np.r_[under, under[::-1] * 0.9], np.r_[below, below[::-1] - 1.6]
    builder.add("nose_base", MIDDLE + wing * line_x, tip + line_y)
    round_x, round_y = np.sin(_RING[::5]), np.cos(_RING[::5])
    builder.add_pair("nostril", wing * 0.52 + 1.7 * round_x, tip - 0.2 + 0.9 * round_y)
    builder.add("nose_tip", MIDDLE + 2.6 * round_x, tip - 5.0 + 2.2 * round_y)


def _mouth(builder: _Builder, person: Person, units: dict[int, Array]) -> None:
    """Lips, opening, teeth; AU10, 12, 15, 23, 24, 25 and 26 shape them."""
    press = np.clip(1.0 - 0.85 * units[24], 0.1, 1.0)
    half = (
        person.mouth_width + 5.0 * units[12] - 5.2 * units[23] - 2.2 * units[26] + 1.2 * units[24]
    )
    x = half * _T
    bend = -6.5 * units[12] + 6.5 * units[15] + 0.1
    middle = EYE_Y + person.mouth_height + 1.6 * units[12] - 1.2 * units[15] + 0.8 * units[26]
    line = middle + bend * _T * _T - 1.8 * units[10] * _HUMP
    gap_up = units[25] * (2.0 + 1.6 * units[10] + 0.6 * units[12]) * press
    gap_low = (2.0 * units[25] + 8.0 * units[26]) * press
    rise = 3.2 * units[10]
    top_in, low_in = line - gap_up * _HUMP, line + gap_low * np.sqrt(_HUMP)
    thin = np.clip(1.0 - 0.5 * units[23] - 0.15 * units[12], 0.2, 1.0) * press
    top_out = top_in - (person.upper_lip * thin + 0.4 * rise) * _LIP - 0.25
    low_out = low_in + person.lower_lip * thin * np.sqrt(_HUMP) + 0.25

    def ring(upper: Array, lower: Array) -> Array:
        return np.concatenate([upper, lower[:, ::-1]], axis=1)

    both = np.concatenate([x, x[:, ::-1]], axis=1)
    builder.add("lip_upper", MIDDLE + both, ring(top_out, top_in + 0.3))
    builder.add("lip_lower", MIDDLE + both, ring(low_in - 0.3, low_out))
    builder.add("opening", MIDDLE + both * 0.97, ring(top_in - 0.35, low_in + 0.35))
    teeth = np.minimum(top_in + 0.7 * gap_up + 1.6 * _HUMP, low_in)
    builder.add("teeth", MIDDLE + both * 0.86, ring(np.minimum(top_in, teeth), teeth))
    tongue = np.maximum(low_in - 0.45 * gap_low * _HUMP, top_in)
    builder.add("tongue", MIDDLE + both * 0.7, ring(tongue, np.maximum(low_in, tongue)))
    builder.add("lip_light", MIDDLE + x[:, 3:-3], 0.5 * (low_in + low_out)[:, 3:-3])
    corner = line[:, -1:]
    dent = np.linspace(0.0, 1.0, 5)
    builder.add_pair("dent", half + 0.5 + 2.5 * dent, corner + 1.0 + 9.0 * dent)
    builder.add_pair("corner", half - 1.0 + 2.6 * dent, corner - 0.8 + 1.2 * dent)
    bulge = np.r_[_T, _T[::-1]] * 0.8
    above = np.r_[_HUMP * 3.6 + 1.4, _HUMP[::-1] * 0.0 + 1.0]
    builder.add("bulge_upper", MIDDLE + half * bulge, middle - person.upper_lip * press - above)
    builder.add("bulge_lower", MIDDLE + half * bulge, low_out[:, 6:7] + above)
    for number, place in enumerate((-0.66, -0.33, 0.0, 0.33, 0.66)):
        stroke = np.array([2.0, 6.5])
        lean = MIDDLE + half * place * np.array([1.0, 1.25])
        builder.add(f"purse_upper_{number}", lean, top_out[:, 6:7] - stroke)
        builder.add(f"purse_lower_{number}", lean, low_out[:, 6:7] + stroke)


def _skin_folds(builder: _Builder, person: Person, units: dict[int, Array]) -> None:
    """Lines and volumes that are drawn soft: forehead, glabella, cheeks, crow's feet, folds."""
    run = np.linspace(0.0, 1.0, 7)
    brow = EYE_Y - person.brow_height
    for number, height in enumerate((5.5, 10.5)):
        arch = 2.0 * run * (1.0 - run)
        rise = 3.5 * np.maximum(units[1], units[2])
        builder.add(
            f"forehead_inner_{number}", MIDDLE + 26.0 * (run - 0.5), brow - height - rise - arch
        )
        builder.add_pair(
            f"forehead_outer_{number}", 13.0 + 14.0 * run, brow - height - rise + 2.5 * run
        )
    stroke = np.linspace(0.0, 1.0, 4)
    builder.add_pair(
        "glabella", 2.6 + 0.9 * stroke + 0.0 * units[4], brow - 3.0 + 11.0 * stroke + 2.5 * units[4]
    )
    cheek_x, cheek_y = np.sin(_RING[::2]), np.cos(_RING[::2])
    lift = 4.0 * units[6] + 2.0 * units[12]
    out = person.eye_distance + 3.5
    builder.add_pair("cheek", out + 9.5 * cheek_x, EYE_Y + 18.0 - lift + 6.5 * cheek_y)
    builder.add_pair(
        "cheek_shade",
        out + 10.0 * (2 * run - 1),
        EYE_Y + 24.5 - 0.6 * lift + 3.5 * (run * (1 - run)) * 4,
    )
    wing = person.nose_width + 2.0
    end = person.mouth_width + 5.0 + 3.5 * units[12]
    fall = EYE_Y + person.nose_length - 2.5 - 2.0 * units[10]
    length = person.mouth_height - person.nose_length + 2.0 - 2.0 * units[12]
    builder.add_pair(
        "nasolabial", wing + (end - wing) * run**0.8, fall + length * run * (0.8 + 0.2 * run)
    )
    for number, slope in enumerate((-0.45, 0.05, 0.5)):
        reach = person.eye_distance + person.eye_width + 1.5
        builder.add_pair(
            f"crow_{number}",
            reach + 6.5 * stroke,
            EYE_Y + 0.5 + 6.5 * slope * stroke + 0.0 * units[6],
        )
    builder.add_pair(
        "crease",
        person.eye_distance + person.eye_width * 1.1 * (2 * run - 1),
        EYE_Y + 6.5 - 1.5 * units[6] + 2.5 * 4 * run * (1 - run),
    )
    builder.add_pair("socket", person.eye_distance + 10.5 * cheek_x, EYE_Y - 4.0 + 6.5 * cheek_y)
    chin = EYE_Y + person.chin - 9.0 + 7.0 * units[26]
    builder.add("chin_light", MIDDLE + 7.0 * cheek_x, chin + 3.5 * cheek_y)
