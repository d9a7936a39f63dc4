"""Contact sheets of the drawn faces, for people to look at: do they look like what they are?"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from abaw.core.tasks import N_AUS
from abaw.sample import DIFFICULTIES, PRESETS, draw_videos
from abaw.sample.draw import FINENESS, SIZE, draw_frames, draw_look
from abaw.sample.face import place_faces
from abaw.sample.person import draw_person
from abaw.sample.pose import Motion
from abaw.sample.rules import COLUMN, OWN
from abaw.sample.script import MIXTURES
from abaw.sample.streams import Stream


def still_faces(
    person_number: int, intensity: np.ndarray, difficulty: str, seed: int
) -> np.ndarray:
    """One person from the front with the given AU intensities, (n, 112, 112, 3)."""
    grade, n = DIFFICULTIES[difficulty], len(intensity)
    person = draw_person(Stream(seed, 7, person_number, 1), grade)
    rest, one = np.zeros(n), np.ones(n)
    motion = Motion(rest, rest, rest, one, rest, rest, rest, one)
    faces = place_faces(person, intensity, motion, grade.gain, FINENESS)
    look = draw_look(person, n, Stream(seed, 7, person_number, 3), grade)
    grain = Stream(seed, 7, person_number, 4)
    return np.stack(draw_frames(person, faces, intensity, look, grain, list(range(n))))


def write_sheets(folder: Path, difficulty: str, seed: int) -> None:
    """Write expressions.png, action_units.png and strips.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [(), *OWN.values(), MIXTURES[0]]
    expressions = np.zeros((len(shown), N_AUS))
    for row, units in zip(expressions, shown, strict=True):
        row[[COLUMN[unit] for unit in units]] = 0.9
    grid = [still_faces(number, expressions, difficulty, seed) for number in range(8)]
    save(folder / "expressions.png", np.stack(grid))

    single = np.concatenate([np.zeros((1, N_AUS)), np.eye(N_AUS)])
    single[1 + COLUMN[26], COLUMN[25]] = 1.0  # a dropped jaw parts the lips
    grid = [still_faces(number, single, difficulty, seed) for number in (0, 2, 4, 6)]
    save(folder / "action_units.png", np.stack(grid))

    settings = replace(
        PRESETS["demo"], seed=seed, difficulty=difficulty, frames=60, n_train_videos=12
    )
    videos = [video for video in draw_videos(settings) if len(video.frames) >= 56][:8]
    save(folder / "strips.png", np.stack([np.stack(video.frames[:56:4]) for video in videos]))


def save(path: Path, grid: np.ndarray) -> None:
    """Write a (rows, columns, 112, 112, 3) grid of frames as one picture."""
    rows, columns = grid.shape[:2]
    picture = grid.transpose(0, 2, 1, 3, 4).reshape(rows * SIZE, columns * SIZE, 3)
    Image.fromarray(picture).save(path)
    print(path)
