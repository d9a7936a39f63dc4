"""Who a face belongs to: shapes and colours that stay the same through a video."""

from dataclasses import dataclass

from .settings import Difficulty
from .streams import Stream

Colour = tuple[int, int, int]

_SKIN = ((238, 203, 180), (222, 178, 148), (196, 148, 116), (158, 112, 84), (120, 82, 62))
_HAIR = ((38, 30, 28), (66, 46, 34), (104, 74, 48), (150, 116, 74), (128, 122, 118))
_IRIS = ((70, 48, 34), (60, 84, 110), (78, 92, 62), (52, 40, 34))


@dataclass(frozen=True)
class Person:
    """One identity. Lengths are pixels of a 112 px crop, for a face seen from the front."""

    eye_distance: float
    """From the middle line to the middle of an eye."""
    eye_width: float
    """Half length of an eye."""
    eye_open: float
    """Height of the opened eye above its middle."""
    brow_height: float
    """From the eye up to the brow."""
    brow_thickness: float
    """Thickness at the inner end."""
    brow_arch: float
    """How much the middle of the brow is higher than its ends."""
    nose_width: float
    """From the middle line to a nose wing."""
    nose_length: float
    """From the eyes down to the tip."""
    mouth_width: float
    """Half length of the mouth."""
    mouth_height: float
    """From the eyes down to the mouth."""
    upper_lip: float
    """Thickness of the upper lip."""
    lower_lip: float
    """Thickness of the lower lip."""
    face_width: float
    """Half width at the cheekbones."""
    jaw_width: float
    """Half width at the corners of the jaw."""
    chin: float
    """From the eyes down to the chin."""
    hairline: float
    """Where the forehead ends, from the upper edge of the crop."""
    hair_length: float
    """How far the hair reaches down at the sides."""
    hair_volume: float
    """Thickness of the hair around the head."""
    parting: float
    """Where the hairline is highest, from the middle line."""
    age: float
    """Strength of the folds of a face at rest, 0 to 1."""
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour


def draw_person(stream: Stream, difficulty: Difficulty) -> Person:
    """Return a new person; `difficulty.identity` says how far people differ."""
    spread = difficulty.identity

    def around(middle: float, half_range: float) -> float:
        return middle + half_range * spread * stream.uniform(-1.0, 1.0)

    tone = 1.6 + 2.2 * spread * stream.uniform(-1.0, 1.0)
    skin = _between(_SKIN, tone)
    hair = _between(_HAIR, stream.uniform(0.0, 1.0) * (0.6 + 3.0 * spread))
    redness = stream.uniform(0.0, 1.0)
    lips = mix(skin, (150, 62, 66), 0.5 + 0.2 * redness * spread)
    return Person(
        eye_distance=around(18.0, 2.4),
        eye_width=around(8.6, 1.4),
        eye_open=around(3.6, 1.0),
        brow_height=around(11.5, 2.4),
        brow_thickness=around(3.6, 1.8),
        brow_arch=around(2.0, 1.8),
        nose_width=around(7.0, 2.0),
        nose_length=around(19.0, 3.0),
        mouth_width=around(14.0, 2.6),
        mouth_height=around(36.0, 2.6),
        upper_lip=around(2.7, 1.3),
        lower_lip=around(3.8, 1.4),
        face_width=around(39.0, 4.0),
        jaw_width=around(31.0, 5.0),
        chin=around(53.5, 3.5),
        hairline=around(15.0, 8.0),
        hair_length=around(52.0, 70.0),
        hair_volume=around(5.0, 5.0),
        parting=around(0.0, 24.0),
        age=0.15 + 0.5 * spread * stream.uniform(),
        skin=skin,
        hair=hair,
        iris=stream.choice(_IRIS),
        lips=lips,
    )


def _between(table: tuple[Colour, ...], position: float) -> Colour:
    """The colour at a fractional place of a table."""
    place = min(max(position, 0.0), len(table) - 1.001)
    index = int(place)
    return mix(table[index], table[index + 1], place - index)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour in the one."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
