"""The frame source: trees of face crops, `<video>/00001.jpg`, in folders or in archives.

A video is a folder that directly holds frame images; its id is the folder's path below the tree,
with `/`. A frame's number is the number its file is called, never its place in the folder.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import FramesError
from .archives import ArchiveTree, archive_videos, as_archive
from .folders import folder_videos
from .source import SUFFIXES, SourceVideo


@dataclass(frozen=True)
class FrameSet:
    """The videos of one or more trees."""

    videos: dict[str, SourceVideo]
    """Id -> video, sorted by id."""
    n_stray: int
    """Files that are no frames: other suffixes, or names that are no number above 0."""

    @property
    def n_frames(self) -> int:
        """Number of frame images, readable or not."""
        return sum(video.n_frames for video in self.videos.values())

    def only(self, videos: Iterable[str]) -> "FrameSet":
        """Return the set with these videos alone, in order of id."""
        return FrameSet({video: self.videos[video] for video in sorted(videos)}, self.n_stray)


def find_videos(trees: Sequence[Path], *, every: int = 1) -> FrameSet:
    """Return the videos of all trees as one set.

    A tree is a folder, a `.zip` or uncompressed `.tar`, or a folder in one (`batch1.zip/crops`);
    the leading folders that all frames of an archive share are no part of the ids, see `archives`.
    Links are followed wherever they lead (a tree is often made of links to crops kept elsewhere,
    and what is extracted is known by its bytes), but not in archives; a link to a folder that it
    lies in is refused.

    Args:
        trees: they hold the video folders, at any depth.
        every: take the first frame of each video and every `every`-th after it.

    Raises:
        FramesError: a tree is missing, damaged or holds no frame, trees overlap, an id is in two
            trees, a frame number is there twice, or a folder cannot be listed.
        VideoIdError: a folder's path is no safe id.
    """
    places = _places(trees)
    found: dict[str, SourceVideo] = {}
    n_stray = 0
    for place in places:
        n_before = len(found)
        for video, n_other in _videos(place, every):
            n_stray += n_other
            if video is None:
                continue
            if video.video in found:
                message = (
                    f"a video must be in one tree, but {video.video!r} is in both "
                    f"{found[video.video].place} and {video.place}; rename or remove one"
                )
                raise FramesError(message)
            found[video.video] = video
        if len(found) == n_before:
            kinds = ", ".join(sorted(SUFFIXES))
            message = (
                f"{place} must hold frames <video>/<number> as {kinds}, but has none; give the "
                f"folder that the video folders are in"
            )
            raise FramesError(message)
    return FrameSet(dict(sorted(found.items())), n_stray)


def _videos(place: Path | ArchiveTree, every: int) -> Iterator[tuple[SourceVideo | None, int]]:
    if isinstance(place, ArchiveTree):
        yield from archive_videos(place, every)
    else:
        yield from folder_videos(place, every)


def _places(trees: Sequence[Path]) -> list[Path | ArchiveTree]:
    """Return what the trees are; none of them lies in another."""
    places: list[Path | ArchiveTree] = []
    for tree in trees:
        archive = as_archive(tree)
        if archive is None and not tree.is_dir():
            found = "is a file" if tree.exists() else "is not there"
            message = (
                f"{tree} must be a folder of <video>/00001.jpg, or a .zip or .tar of one, but "
                f"{found}"
            )
            raise FramesError(message)
        places.append(archive or tree)
    roots = [
        (place.path.resolve() / place.inner, True)
        if isinstance(place, ArchiveTree)
        else (place.resolve(), False)
        for place in places
    ]
    for tree, (root, is_archive) in zip(trees, roots, strict=True):
        for other, (above, is_other_archive) in zip(trees, roots, strict=True):
            # An archive in a folder is a stray file there, so it may be a tree as well.
            if above in root.parents and is_archive == is_other_archive:
                message = (
                    f"trees must not lie in one another, or a video would have two ids, but "
                    f"{tree} lies in {other}; leave one out"
                )
                raise FramesError(message)
    return places
