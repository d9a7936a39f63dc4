"""Folders of one task, as the challenge ships them, and their crops."""

from collections.abc import Sequence
from pathlib import Path

from abaw.cache import LabelTable
from abaw.core.tasks import AUS, EXPRESSIONS
from abaw.temporal.data.task_annotations import read_task_annotations
from abaw.temporal.data.task_folders import find_task_folder

VA, EXPR, AU = "valence,arousal", ",".join(EXPRESSIONS), ",".join(AUS)
FOLDER_OF = {"va": "VA_Estimation_Challenge", "au": "AU_Detection_Challenge"} | {
    "expr": "EXPR_Classification_Challenge"
}
ROWS = {
    "va": (VA, "0.021,0.104", "-5,-5", "0.03,0.11"),
    "expr": (EXPR, "4", "-1", "7"),
    "au": (AU, ",".join("1" * 12), ",".join(["-1"] * 12), ",".join("01" * 6)),
}


def write_video(folder: Path, video: str, *lines: str, end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{video}.txt"
    path.write_bytes((end.join(lines) + end).encode())
    return path


def write_task(
    root: Path,
    task: str = "va",
    train: Sequence[str] = ("clip",),
    val: Sequence[str] = ("other",),
    name: str = "",
) -> Path:
    """A folder of one task in which every video has three frames."""
    folder = root / (name or FOLDER_OF[task])
    for split, videos in (("Train_Set", train), ("Validation_Set", val)):
        for video in videos:
            write_video(folder / split, video, *ROWS[task])
    return folder


def write_crops(tree: Path, **videos: Sequence[int]) -> Path:
    for video, numbers in videos.items():
        (tree / video).mkdir(parents=True, exist_ok=True)
        for number in numbers:
            (tree / video / f"{number:05d}.jpg").touch()
    return tree


def read(folder: Path, test: Path | None = None, frames: Sequence[Path] = ()) -> LabelTable:
    found = find_task_folder(folder)
    assert found is not None
    return read_task_annotations(found, test, frames)


def frames_of(table: LabelTable, video: str) -> slice:
    number = table.videos.index(video)
    return slice(table.start[number], table.start[number] + table.length[number])


def oddities_of(table: LabelTable) -> dict[str, int]:
    found = table.meta["report"]["oddities"]
    return {what: item["count"] for what, item in found.items() if item["count"]}
