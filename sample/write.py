"""Writes a sample: the tree of frames, the annotation files, and what it was made of."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..core.errors import UsageError
from ..core.files import TEMPORARY_MARK, errors_of, temporary_name, write_json_atomic
from ..core.tasks import EXPRESSIONS
from .draw import FINENESS, Pixels, draw_frames, draw_look
from .face import place_faces
from .person import draw_person
from .plan import VideoPlan, plan
from .pose import draw_motion
from .rules import Array, labels
from .script import intensities
from .settings import DIFFICULTIES, SAMPLE_VERSION, SPLITS, SampleSettings, Split
from .streams import Stream

ANNOTATION_FILES: Final[dict[Split, str]] = {
    "train": "training_set_annotations.txt",
    "val": "validation_set_annotations.txt",
    "test": "MTL_Challenge_test_set_release.txt",
}
HEADER: Final = "image,valence,arousal,expression,aus"
MARKER: Final = "sample.json"
"""In the folder of every sample; a folder with files but without it is left alone."""
JPEG_QUALITY: Final = 92

_NO_AFFECT, _NO_CLASS = "-5.0", "-1"
Labels = tuple[Array, npt.NDArray[np.int64], npt.NDArray[np.int64]]


@dataclass(frozen=True)
class SplitCount:
    """What one split of a written sample holds."""

    videos: int
    """Videos, each of another person."""
    crops: int
    """JPEG files."""
    rows: int
    """Lines of the annotation file, without the header."""
    missing_crops: int
    """Rows, counted once per frame, without a crop."""
    duplicate_rows: int
    """Rows that repeat the one before."""
    expressions: tuple[int, ...]
    """Frames with rows by expression, labelled or not."""


@dataclass(frozen=True)
class SampleSummary:
    """What `write_sample` wrote."""

    out: Path
    settings: SampleSettings
    splits: dict[Split, SplitCount]

    def text(self) -> str:
        """Return the summary as lines for people."""
        lines = [f"sample of version {SAMPLE_VERSION}, seed {self.settings.seed}, in {self.out}"]
        for split, count in self.splits.items():
            lines.append(
                f"  {split:5} {count.videos:3} videos {count.crops:6} crops {count.rows:6} rows"
                f" ({count.missing_crops} without a crop, {count.duplicate_rows} twice)"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class DrawnVideo:
    """One video before it is written: labels of its whole time line and the frames with a crop."""

    plan: VideoPlan
    intensity: Array
    """(length, 12) AU intensities; frame number f is row f - 1."""
    labels: Labels
    """Valence and arousal, expression, AUs of each frame, as `rules.labels` returns them."""
    frames: list[Pixels]
    """One (112, 112, 3) RGB array per frame number in `plan.crops`."""


def draw_videos(settings: SampleSettings, with_frames: bool = True) -> Iterator[DrawnVideo]:
    """Yield the videos of a sample, split after split, without writing anything.

    Args:
        settings: what to draw.
        with_frames: False leaves `frames` empty and takes almost no time.
    """
    difficulty = DIFFICULTIES[settings.difficulty]
    for video in plan(settings):
        key = (2, SPLITS.index(video.split), video.person)
        intensity = intensities(video.episodes, Stream(settings.seed, *key, 0))
        frames: list[Pixels] = []
        if with_frames:
            person = draw_person(Stream(settings.seed, *key, 1), difficulty)
            movement = Stream(settings.seed, *key, 2)
            motion = draw_motion(video.length, movement, difficulty)
            stray = difficulty.flicker * movement.bell(intensity.shape)
            shown = np.clip(intensity + stray, 0.0, 1.0)
            faces = place_faces(person, shown, motion, difficulty.gain, FINENESS)
            look = draw_look(person, video.length, Stream(settings.seed, *key, 3), difficulty)
            wanted = [frame - 1 for frame in video.crops]
            grain = Stream(settings.seed, *key, 4)
            frames = draw_frames(person, faces, shown, look, grain, wanted)
        yield DrawnVideo(video, intensity, labels(intensity), frames)


def write_sample(out: Path, settings: SampleSettings) -> SampleSummary:
    """Write a sample in the challenge's form: `out/cropped_aligned`, `out/annotations`.

    A sample that is there already is replaced, after the new one is complete; other files in its
    folder are left alone. The same settings give the same bytes on one machine; on another one,
    with another JPEG encoder, the same labels and the same pixels before encoding.

    Args:
        out: the folder; made if it does not exist.
        settings: what to write.

    Raises:
        UsageError: `out` is a file, or a folder that holds something but no sample.
    """
    _claim(out, settings)
    with errors_of(out):
        counts = _write_trees(out, settings)
    write_json_atomic(out / MARKER, _marker(settings, complete=True))
    return SampleSummary(out, settings, counts)


def _write_trees(out: Path, settings: SampleSettings) -> dict[Split, SplitCount]:
    """Write frames and annotations, in place of earlier ones when they are whole; count them."""
    trees = {name: temporary_name(out / name) for name in ("cropped_aligned", "annotations")}
    lines: dict[Split, list[str]] = {split: [HEADER] for split in SPLITS}
    counts = {split: SplitCount(0, 0, 0, 0, 0, (0,) * len(EXPRESSIONS)) for split in SPLITS}
    for video in draw_videos(settings):
        split = video.plan.split
        _write_frames(trees["cropped_aligned"] / video.plan.name, video)
        lines[split] += annotation_rows(video)
        counts[split] = _counted(counts[split], video)
    trees["cropped_aligned"].mkdir(parents=True, exist_ok=True)
    trees["annotations"].mkdir()
    for split, name in ANNOTATION_FILES.items():
        if split == "test" and not settings.n_test_videos:
            continue  # a list of nothing is refused by whoever reads it, and rightly so
        (trees["annotations"] / name).write_text("\n".join(lines[split]) + "\n", newline="\n")
    for name, temporary in trees.items():
        if (out / name).exists():
            shutil.rmtree(out / name)
        temporary.rename(out / name)
    return counts


def _marker(settings: SampleSettings, *, complete: bool) -> dict[str, Any]:
    """What `sample.json` says."""
    return {
        "format": "abaw-sample",
        "version": SAMPLE_VERSION,
        "complete": complete,
        "settings": settings.to_dict(),
    }


def _claim(out: Path, settings: SampleSettings) -> None:
    """Make `out` a sample's folder, or refuse; remove what a killed writer left."""
    if out.exists() and not out.is_dir():
        message = f"a sample needs a folder, but {out} is a file; name another folder"
        raise UsageError(message)
    entries = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if entries and not _is_sample(out / MARKER):
        message = (
            f"a sample needs an empty folder or an earlier sample's, but {out} holds "
            f"{len(entries)} other entries ({entries[0]!r} …); name another folder"
        )
        raise UsageError(message)
    out.mkdir(parents=True, exist_ok=True)
    for name in entries:
        if name.startswith((f"cropped_aligned{TEMPORARY_MARK}", f"annotations{TEMPORARY_MARK}")):
            shutil.rmtree(out / name)
    write_json_atomic(out / MARKER, _marker(settings, complete=False))


def _is_sample(marker: Path) -> bool:
    """Does the folder's marker say that a sample was written there?"""
    try:
        facts = json.loads(marker.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(facts, dict) and facts.get("format") == "abaw-sample"


def _write_frames(folder: Path, video: DrawnVideo) -> None:
    """Write the crops of one video as JPEG."""
    folder.mkdir(parents=True)
    for number, pixels in zip(video.plan.crops, video.frames, strict=True):
        stream = BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=JPEG_QUALITY)
        data = stream.getvalue()
        if number in video.plan.truncated:
            data = data[: len(data) // 2]
        (folder / f"{number:05d}.jpg").write_bytes(data)


def annotation_rows(video: DrawnVideo) -> list[str]:
    """Return the lines of one video, 16 fields each, or only the path in the test list."""
    affect, expression, au = video.labels
    rows = []
    for frame in video.plan.rows:
        path = f"{video.plan.name}/{frame:05d}.jpg"
        if video.plan.split == "test":
            rows.append(path)
            continue
        has_affect, has_expression, has_au = video.plan.labelled[frame]
        fields = [path]
        fields += [f"{value:.3f}" if has_affect else _NO_AFFECT for value in affect[frame - 1]]
        fields.append(f"{expression[frame - 1]}" if has_expression else _NO_CLASS)
        fields += [f"{value}" if has_au else _NO_CLASS for value in au[frame - 1]]
        rows.append(",".join(fields))
    return rows


def _counted(count: SplitCount, video: DrawnVideo) -> SplitCount:
    """Add a video to its split's count."""
    frames = sorted(set(video.plan.rows))
    classes = np.bincount(video.labels[1][[f - 1 for f in frames]], minlength=len(EXPRESSIONS))
    return SplitCount(
        videos=count.videos + 1,
        crops=count.crops + len(video.plan.crops),
        rows=count.rows + len(video.plan.rows),
        missing_crops=count.missing_crops + len(set(frames) - set(video.plan.crops)),
        duplicate_rows=count.duplicate_rows + len(video.plan.rows) - len(frames),
        expressions=tuple(a + int(b) for a, b in zip(count.expressions, classes, strict=True)),
    )
