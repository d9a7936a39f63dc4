"""Trees of as many frames as a benchmark needs."""

from pathlib import Path

from abaw.sample import SampleSettings, write_sample

_SAMPLE = SampleSettings(n_train_videos=7, n_val_videos=1, n_test_videos=0, frames=60)


def drawn_frames(folder: Path) -> list[Path]:
    """Return the files of a small drawn data set in `folder`, in order."""
    write_sample(folder, _SAMPLE)
    return sorted(folder.rglob("*.jpg"))


def tree_of(found: list[Path], tree: Path, n_frames: int, per_video: int = 500) -> Path:
    """Return a tree of hard links to `n_frames` frames, taken again and again if there are fewer.

    Args:
        found: frames, on the file system of `tree`.
        tree: the folder to make.
        n_frames: how many.
        per_video: frames of one video.
    """
    for n in range(n_frames):
        folder = tree / f"video{n // per_video:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{n % per_video + 1:05d}.jpg").hardlink_to(found[n % len(found)])
    return tree
