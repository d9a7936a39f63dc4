"""Writes the archives of a format version: `python tests/archives/make.py v1`.

Run once, when a version is new. An archive is never written again: what it shows is that stores of
its day are still read. Both forms are zipped, as a Zarr store is many small files.
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from abaw.cache import EmbeddingSpec, Failure, LabelTable, StoreWriter, write_labels

HERE = Path(__file__).parent
SPEC = EmbeddingSpec(
    backbone="archive",
    weights="sha256:00ff",
    input_size=8,
    position_table="none",
    crop="full",
    interpolation="bilinear",
    mean=(0.5,),
    std=(0.25,),
    channels="grey",
    layer="final",
    pool="mean",
    flip="no",
    options={"min_side": 4},
    dim=3,
    dtype="float16",
)


def rows(n: int, first: int) -> np.ndarray:
    """Return numbers that float16 holds exactly, told by their place."""
    return (np.arange(n * 3, dtype=np.float32).reshape(n, 3) + first) / 8


def write_embeddings(path: Path) -> None:
    """Two videos in the compacted tree, one with times and a failure; a third one in a part."""
    common = {"version": 1, "source_start": 0, "stat_hash": 1, "precision": "fp32"}
    with StoreWriter.open(
        path, SPEC, {"objective": "random", "note": "archive"}, run_settings={"precision": "fp32"}
    ) as writer:
        writer.add(
            "clip/left",
            source_length=4,
            source_total=4,
            frame=np.array([1, 2, 7]),
            embedding=rows(3, 0),
            failures=[Failure("clip/left", 5, "not a JPEG, PNG or WebP image")],
            input_hash=(1 << 100) + 5,
            time=np.array([0.0, 0.04, 0.24]),
            **common,
        )
        writer.add(
            "übung",
            source_length=2,
            source_total=2,
            frame=np.array([3, 4]),
            embedding=rows(2, 100),
            input_hash=6,
            **common,
        )
        writer.compact()
        writer.add(
            "later",
            source_length=1,
            source_total=1,
            frame=np.array([9]),
            embedding=rows(1, 200),
            input_hash=7,
            **common,
        )


def labels() -> LabelTable:
    """Return one video of three frames, all tasks, and a row twice."""
    frame = {
        "frame": np.array([1, 2, 7], np.int32),
        "split": np.array([0, 0, 1], np.int8),
        "valence": np.array([0.5, 0, -1], np.float32),
        "valence_is_labelled": np.array([True, False, True]),
        "arousal": np.array([0.25, 0, 1], np.float32),
        "arousal_is_labelled": np.array([True, False, True]),
        "expression": np.array([4, 7, 0], np.int8),
        "expression_is_labelled": np.array([True, True, False]),
        "au": np.eye(3, 12, dtype=np.int8),
        "au_is_labelled": np.ones((3, 12), bool),
    }
    row_of = np.array([0, 1, 1, 2])
    return LabelTable(
        videos=("clip/left",),
        start=np.array([0]),
        length=np.array([3]),
        row_path=[f"clip/left/{n:05d}.jpg" for n in (1, 2, 2, 7)],
        row_video=np.zeros(4, np.int32),
        meta={"report": ["1 frame twice"], "sources": [{"split": "train", "sha256": "ab"}]},
        **frame,
        **{f"row_{name}": values[row_of] for name, values in frame.items()},
    )


def main() -> None:
    """Write the archives into a new folder."""
    folder = HERE / sys.argv[1]
    folder.mkdir()
    for suffix in (".h5", ".zarr"):
        with tempfile.TemporaryDirectory() as text:
            work = Path(text)
            write_embeddings(work / f"tiny{suffix}")
            write_labels(work / f"labels{suffix}", labels())
            path = folder / f"{suffix[1:]}.zip"
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in sorted(work.rglob("*")):
                    if file.is_file():
                        archive.write(file, file.relative_to(work).as_posix())


if __name__ == "__main__":
    main()
