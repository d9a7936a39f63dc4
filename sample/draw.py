"""From points to pixels: rasterising, light, noise, exposure.

A frame is rasterised at four times its size and averaged down, which smooths every edge. Folds
and volumes of the skin are drawn into two grey layers, a broad and a fine one, which are blurred
and multiplied in.

**Auto-exposure.** A camera and a crop tool change brightness and contrast all the time, and drawn
faces would let them betray the affect: an open mouth is dark, bared teeth are bright. So each
colour channel of each frame is given a mean and a standard deviation that follow the person's skin
and a smooth random path, neither of which knows the action units.

**The same pixels everywhere.** Points are rounded to a quarter of a pixel before they are drawn;
rasterising, averaging and blurring are Pillow's integer code. After that only single additions,
multiplications and square roots are used, which IEEE 754 rounds in one way, and the two sums per
channel add whole numbers below 2**53, which are exact in whatever order. Sine and cosine, whose
last bit may differ between processors, act only before the rounding.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from .face import Faces
from .person import Colour, Person, mix
from .rules import COLUMN
from .settings import Difficulty
from .streams import Array, Stream

SIZE = 112
"""Width and height of a frame."""
FINENESS = 4
"""Points lie on, and frames are rasterised at, this many steps per pixel."""
_FULL = SIZE * FINENESS
_ONES = np.ones(SIZE * SIZE)
_SOFT = ImageFilter.BoxBlur(3.5)
_FINE = ImageFilter.BoxBlur(0.7)

Pixels = npt.NDArray[np.uint8]
Stroke = tuple[tuple[str, ...], int, int]
"""Parts that are drawn alike, width of their line, grey value."""


@dataclass(frozen=True)
class Look:
    """What makes a video's picture, apart from the face."""

    canvas: Image.Image
    """Background, at full fineness."""
    light: npt.NDArray[np.float32]
    """(112, 112, 1), brightness of each place."""
    mean: Array
    """(n, 3), mean of each channel in each frame, grey levels."""
    spread: Array
    """(n, 3), standard deviation of each channel in each frame, grey levels."""
    noise: float
    """Standard deviation of the noise, grey levels."""


def draw_look(person: Person, n: int, stream: Stream, difficulty: Difficulty) -> Look:
    """Return background, light and exposure path of a video of n frames."""
    backdrop = mix((116, 118, 122), _strong(stream), difficulty.background)
    floor = mix(backdrop, (60, 60, 64), 0.3 + 0.4 * stream.uniform() * difficulty.background)
    ramp = Image.new("RGB", (1, 2))
    ramp.putdata([backdrop, floor])
    canvas = ramp.resize((_FULL, _FULL), Image.Resampling.BILINEAR)

    x = (np.arange(SIZE, dtype=np.float32) - np.float32(55.5)) / np.float32(56.0)
    across, down = x[None, :], x[:, None]
    slant = np.float32(0.22 * stream.uniform(-1.0, 1.0) * (0.4 + difficulty.identity))
    light = np.float32(1.06) + slant * across - np.float32(0.06) * down
    light = light - np.float32(0.16) * across * across - np.float32(0.06) * down * down

    skin = np.array(person.skin, dtype=np.float64)
    path = stream.path(n, 12, 2)
    tint = stream.bell(3) * 3.0
    flicker = stream.bell((n, 2))
    middle = 0.52 * skin + 22.0 + tint
    mean = middle * (1.0 + 0.09 * path[:, :1] + 0.02 * flicker[:, :1])
    contrast = 1.0 + 0.11 * path[:, 1:] + 0.02 * flicker[:, 1:]
    spread = (30.0 + 0.08 * skin) * contrast
    return Look(canvas, light[:, :, None], mean, spread, difficulty.noise)


def draw_frames(
    person: Person, faces: Faces, au: Array, look: Look, stream: Stream, wanted: list[int]
) -> list[Pixels]:
    """Return the wanted frames of a video, each (112, 112, 3) RGB.

    Args:
        person: gives the colours.
        faces: the points of all n frames.
        au: (n, 12), how strong the folds and volumes are.
        look: background, light and exposure of all n frames.
        stream: for the noise.
        wanted: indices of the frames to draw.
    """
    broad, fine = _depths(person, au)
    broad_keys = _resolve(tuple(broad), faces.parts)
    fine_keys = _resolve(tuple(fine), faces.parts)
    broad_values, fine_values = _grey(broad), _grey(fine)
    widths = [_WIDTH[name] for name in fine]
    tones = _tones(person)
    corners = stream.uniforms((len(faces.points), 2))
    frames = []
    for index in wanted:
        points: list[int] = faces.points[index].ravel().tolist()
        outline = {name: points[2 * s.start : 2 * s.stop] for name, s in faces.parts.items()}
        colour = _rasterise(look.canvas, outline, tones)
        shade = _shade(
            outline,
            [(keys, 0, value) for keys, value in zip(broad_keys, broad_values[index], strict=True)],
            list(zip(fine_keys, widths, fine_values[index], strict=True)),
        )
        frames.append(_expose(colour, shade, look, index, corners[index]))
    return frames


def _strong(stream: Stream) -> Colour:
    """A saturated colour."""
    red, green, blue = (round(value) for value in stream.uniforms(3, 20.0, 235.0).tolist())
    return red, green, blue


def _tones(person: Person) -> list[tuple[str, Colour]]:
    """Parts in painting order, each with its colour."""
    dark = mix(person.skin, (40, 20, 16), 0.3)
    brow = mix(person.hair, (20, 16, 14), 0.45)
    eye = []
    for side in ("left", "right"):
        eye += [
            (f"white_{side}", (236, 232, 226)),
            (f"iris_{side}", person.iris),
            (f"pupil_{side}", (14, 12, 12)),
            (f"glint_{side}", (250, 250, 250)),
            (f"lash_{side}", mix(brow, (10, 8, 8), 0.5)),
            (f"brow_{side}", brow),
        ]
    return [
        ("hair", person.hair),
        ("neck", mix(person.skin, (40, 20, 16), 0.22)),
        ("face", person.skin),
        ("fringe", person.hair),
        ("nose_base", dark),
        ("nostril_left", (52, 26, 22)),
        ("nostril_right", (52, 26, 22)),
        *eye,
        ("opening", (44, 14, 16)),
        ("tongue", (150, 66, 66)),
        ("teeth", (238, 232, 220)),
        ("lip_upper", mix(person.lips, (60, 20, 24), 0.18)),
        ("lip_lower", person.lips),
    ]


def _rasterise(
    canvas: Image.Image, outline: dict[str, list[int]], tones: list[tuple[str, Colour]]
) -> Image.Image:
    """Paint the parts over the background; half-way to the face's edge it is skin in shadow."""
    image = canvas.copy()
    draw = ImageDraw.Draw(image)
    for name, colour in tones:
        draw.polygon(outline[name], fill=colour)
    return image.reduce(FINENESS)


_WIDTH: Final = {
    "nose_side": 0, "nose_tip": 0, "lid": 5, "bag": 5, "glabella": 7, "crow": 5, "crease": 7,
    "nasolabial": 8, "dent": 9, "corner": 7, "forehead_inner": 6, "forehead_outer": 6, "purse": 6,
    "lip_light": 5,
}  # fmt: skip
"""Width of each fine line in steps of 1 / FINENESS pixel; 0 fills the outline."""


def _depths(person: Person, au: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """How much brighter or darker each soft part is in each frame, (n,): broad and fine parts."""
    unit = {number: au[:, column] for number, column in COLUMN.items()}
    rest = person.age
    lines = np.maximum(unit[1], unit[2])
    broad = {
        "socket": -20.0 - 8.0 * unit[4],
        "cheek_shade": -4.0 - 34.0 * unit[6] - 8.0 * unit[12],
        "cheek": 5.0 + 34.0 * unit[6] + 10.0 * unit[12],
        "bulge_upper": 2.0 + 34.0 * unit[24],
        "bulge_lower": 2.0 + 34.0 * unit[24],
        "chin_light": 8.0 + 0.0 * lines,
    }
    fine = {
        "nose_side": -24.0 + 0.0 * lines,
        "nose_tip": 14.0 + 0.0 * lines,
        "lid": -34.0 + 14.0 * lines,
        "bag": -10.0 - 14.0 * rest - 26.0 * unit[7],
        "glabella": -4.0 * rest - 62.0 * unit[4],
        "crow": -3.0 * rest - 55.0 * unit[6],
        "crease": -6.0 * rest - 50.0 * unit[6] - 14.0 * unit[7],
        "nasolabial": -16.0 * rest - 50.0 * np.maximum(unit[10], 0.7 * unit[12]),
        "dent": -4.0 * rest - 62.0 * unit[15],
        "corner": -30.0 - 26.0 * np.maximum(unit[12], unit[15]),
        "forehead_inner": -5.0 * rest - 52.0 * unit[1],
        "forehead_outer": -4.0 * rest - 52.0 * unit[2],
        "purse": -40.0 * unit[23],
        "lip_light": 18.0 - 14.0 * unit[24],
    }
    return broad, fine


def _grey(depths: dict[str, Array]) -> list[list[int]]:
    """Grey value of each soft part in each frame; 128 leaves the skin as it is."""
    values: list[list[int]] = (
        (128 + np.rint(np.stack(list(depths.values()), axis=1))).astype(np.int64).tolist()
    )
    return values


def _shade(outline: dict[str, list[int]], broad: list[Stroke], fine: list[Stroke]) -> Pixels:
    """The two soft layers of one frame, (2, 112, 112); 128 leaves the skin as it is."""
    wide = Image.new("L", (_FULL // 2, _FULL // 2), 128)
    draw = ImageDraw.Draw(wide)
    for keys, _, value in broad:
        for key in keys:
            draw.polygon([point // 2 for point in outline[key]], fill=value)
    thin = Image.new("L", (_FULL, _FULL), 128)
    draw = ImageDraw.Draw(thin)
    for keys, width, value in fine:
        if abs(value - 128) < 2:
            continue
        for key in keys:
            if width:
                draw.line(outline[key], fill=value, width=width)
            else:
                draw.polygon(outline[key], fill=value)
    layers = wide.reduce(2).filter(_SOFT), thin.reduce(FINENESS).filter(_FINE)
    return np.stack([np.asarray(layer) for layer in layers])


def _resolve(names: tuple[str, ...], known: Collection[str]) -> list[tuple[str, ...]]:
    """The parts that each name stands for: itself, both sides, or all its strokes."""
    return [
        (name,) if name in known else tuple(key for key in known if key.startswith(f"{name}_"))
        for name in names
    ]


@cache
def _noise_bank() -> npt.NDArray[np.float32]:
    """Grainy noise of standard deviation 1, (240, 240, 3), half of it common to the channels."""
    stream = Stream(0, 9)
    grain = 0.8 * stream.bell((240, 240, 1)) + 0.6 * stream.bell((240, 240, 3))
    return grain.astype(np.float32)


def _expose(colour: Image.Image, shade: Pixels, look: Look, index: int, corner: Array) -> Pixels:
    """Light, noise, and the frame's mean and standard deviation per channel."""
    layers = shade.astype(np.float32)
    factor = (layers[0] * layers[1])[:, :, None] * look.light * np.float32(1 / 16384)
    scene = np.rint(np.asarray(colour) * factor * np.float32(8.0))
    whole = scene.reshape(-1, 3).astype(np.float64)
    count = SIZE * SIZE
    total, squares = _ONES @ whole, np.einsum("ij,ij->j", whole, whole)
    mean = total / count
    variance = (squares * count - total * total) / (count * count)
    noise = look.noise
    wanted = np.sqrt(np.maximum(look.spread[index] ** 2 - noise * noise, 1.0))
    gain = wanted / np.sqrt(np.maximum(variance, 1.0))
    offset = look.mean[index] - gain * mean
    row, column = int(corner[0] * 128), int(corner[1] * 128)
    grain = _noise_bank()[row : row + SIZE, column : column + SIZE]
    exposed = scene * gain.astype(np.float32) + offset.astype(np.float32)
    exposed = exposed + grain * np.float32(noise)
    pixels: Pixels = np.clip(np.rint(exposed), 0, 255).astype(np.uint8)
    return pixels
