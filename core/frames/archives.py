"""Trees of frames in a zip or an uncompressed tar, read in place.

A tree is an archive, or a folder in one written as a path (`batch1.zip/cropped_aligned`). Archives
mostly hold their tree in a folder of its own, so the leading folders that all frames of an archive
share are left out of the ids as long as one folder, the video, remains: `batch1.zip` with
`cropped_aligned/<video>/00001.jpg` has the ids `<video>`, as the unpacked `cropped_aligned` has.
Below a folder that is given, ids are the paths, as in any tree.
"""

import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from ..errors import FramesError
from ..names import VideoIdError
from .members import ArchiveFile, ArchiveVideo, Packing
from .source import FileNames, as_number, check_source_id, in_order

_SUFFIXES: Final = frozenset({".zip", ".tar"})
_COMPRESSED: Final = (
    *(".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst"),
    *(".7z", ".rar", ".gz", ".bz2", ".xz"),
)
_BIGGEST: Final = (1 << 63) - 1
_FLAG_ENCRYPTED: Final = 0x1
_FLAG_UTF8: Final = 0x800
_TAR_BLOCK: Final = 512


class ArchiveTree(NamedTuple):
    """A tree in an archive."""

    path: Path
    inner: str
    """Folder in the archive; empty for all of it."""

    def __str__(self) -> str:
        return f"{self.path}/{self.inner}" if self.inner else str(self.path)


class _Member(NamedTuple):
    """A member that is a frame, with the columns of `ArchiveVideo`."""

    number: int
    file_name: str
    size: int
    stamp: int
    offset: int
    length: int
    packing: Packing


class _Entry(NamedTuple):
    """A member that is no folder; a frame only if `frame` is there."""

    name: str
    frame: _Member | None


def as_archive(tree: Path) -> ArchiveTree | None:
    """Return the archive and the folder in it that a path means; None if it means no archive.

    Raises:
        FramesError: the archive is of a kind that cannot be read in place.
    """
    if tree.is_dir():
        return None
    for path in (tree, *tree.parents):
        if not path.is_file():
            continue
        name = path.name.lower()
        if name.endswith(_COMPRESSED):
            message = (
                f"an archive must be a .zip or an uncompressed .tar, whose frames can be read in "
                f"place, but {path} is compressed as a whole; unpack it and give the folder"
            )
            raise FramesError(message)
        if path.suffix.lower() not in _SUFFIXES:
            return None
        inner = tree.relative_to(path).as_posix()
        return ArchiveTree(path, "" if inner == "." else inner)
    return None


def archive_videos(tree: ArchiveTree, every: int) -> Iterator[tuple[ArchiveVideo | None, int]]:
    """Yield the videos of the tree, and the number of stray files once.

    Raises:
        FramesError: the archive is damaged, holds a member twice, a frame number twice, or frames
            that lie in no folder.
        VideoIdError: a frame's name in the archive is no safe path.
    """
    archive = ArchiveFile(tree.path)
    is_zip = tree.path.suffix.lower() == ".zip"
    prefix = f"{tree.inner}/" if tree.inner else ""
    n_stray = 0
    folders: dict[str, list[_Member]] = {}
    for name, member in _zip_entries(archive) if is_zip else _tar_entries(archive):
        if not name.startswith(prefix):
            continue
        if member is None:
            n_stray += 1
            continue
        folders.setdefault(name.rpartition("/")[0], []).append(member)
    yield None, n_stray
    shared = prefix or _shared_folders(list(folders))
    for folder, members in folders.items():
        place = f"{tree.path}/{folder}" if folder else str(tree.path)
        if len(folder) < len(shared) or not folder:
            message = (
                f"{tree} must hold folders of frames, one a video, but holds "
                f"{min(members).file_name} itself; "
                + ("give the folder above it" if tree.inner else "put its frames into folders")
            )
            raise FramesError(message)
        frames = in_order(place, members)[::every]
        numbers, names, sizes, stamps, offsets, lengths, packings = zip(*frames, strict=True)
        yield (
            ArchiveVideo(
                video=check_source_id(folder[len(shared) :], str(tree)),
                place=place,
                names=FileNames(numbers, names),
                numbers=np.array(numbers, np.int32),
                sizes=np.array(sizes, np.int64),
                stamps=np.array(stamps, np.int64),
                archive=archive,
                offsets=np.array(offsets, np.int64),
                lengths=np.array(lengths, np.int64),
                packings=np.array(packings, np.uint8),
            ),
            0,
        )


def _shared_folders(folders: list[str]) -> str:
    """Return the leading folders that all share, with `/`, without the last of any.

    >>> _shared_folders(["crops/a", "crops/b"]), _shared_folders(["x/a"]), _shared_folders(["a"])
    ('crops/', 'x/', '')
    """
    shared = ""
    for parts in zip(*(folder.split("/")[:-1] for folder in folders), strict=False):
        if len(set(parts)) > 1:
            break
        shared += f"{parts[0]}/"
    return shared


def _zip_entries(archive: ArchiveFile) -> Iterator[_Entry]:
    """Yield the members of a zip that are no folders."""
    try:
        # From the same descriptor as the frames, should the path be given to another file.
        with (
            os.fdopen(os.dup(archive.descriptor), "rb") as stream,
            zipfile.ZipFile(stream) as index,
        ):
            infos = index.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        # The last is what zipfile says of a zip version that it does not read.
        raise _damaged(archive.path, "a zip", error) from error
    for info in infos:
        name, is_utf8 = _zip_name(info)
        mode = info.external_attr >> 16
        if name.endswith("/") or stat.S_ISDIR(mode):
            continue
        number = _frame_number(name, archive.path)
        if number is None or (stat.S_IFMT(mode) and not _is_file_or_link(mode)):
            yield _Entry(name, None)
            continue
        if not is_utf8:
            message = (
                f"a frame's name in an archive must be UTF-8, but {name!r} in {archive.path} is "
                f"not; unpack the archive, rename the folder and give it"
            )
            raise VideoIdError(message)
        if info.flag_bits & _FLAG_ENCRYPTED:
            packing = Packing.ENCRYPTED
        elif stat.S_ISLNK(mode):
            packing = Packing.LINK
        elif info.compress_type == zipfile.ZIP_STORED:
            packing = Packing.STORED
        elif info.compress_type == zipfile.ZIP_DEFLATED:
            packing = Packing.DEFLATED
        else:
            packing = Packing.OTHER_METHOD
        big = (info.file_size, info.CRC, info.header_offset, info.compress_size)
        size, crc, offset, length = (min(max(value, 0), _BIGGEST) for value in big)
        file_name = name.rpartition("/")[2]
        yield _Entry(name, _Member(number, file_name, size, crc, offset, length, packing))


def _zip_name(info: zipfile.ZipInfo) -> tuple[str, bool]:
    """Return a member's name as it is written, and whether that is UTF-8.

    Many programs write UTF-8 without saying so; zipfile reads such names as code page 437.
    """
    name = info.orig_filename
    if info.flag_bits & _FLAG_UTF8 or name.isascii():
        return name, True
    try:
        return name.encode("cp437").decode(), True
    except UnicodeError:
        return name, False


def _is_file_or_link(mode: int) -> bool:
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _tar_entries(archive: ArchiveFile) -> Iterator[_Entry]:
    """Yield the members of a tar that are no folders."""
    kind = "an uncompressed tar"
    try:
        with os.fdopen(os.dup(archive.descriptor), "rb") as stream:
            stamp = os.fstat(archive.descriptor).st_mtime_ns
            with tarfile.open(fileobj=stream, mode="r:") as index:
                for info in index:
                    # It keeps every member that it has seen.
                    index.members.clear()  # type: ignore[attr-defined]
                    if not info.isdir():
                        yield _tar_entry(info, archive.path, stamp)
                end = os.pread(archive.descriptor, _TAR_BLOCK, index.offset)
    except (tarfile.TarError, OSError, ValueError) as error:
        raise _damaged(archive.path, kind, error) from error
    # Where tarfile meets a header that it cannot read it ends as if there were no more.
    if len(end) < _TAR_BLOCK or any(end):
        raise _damaged(archive.path, kind, "its end mark is missing")


def _tar_entry(info: tarfile.TarInfo, path: Path, stamp: int) -> _Entry:
    name = info.name
    while name.startswith("./"):  # `tar -C tree -cf frames.tar .` writes all names so
        name = name[2:]
    number = _frame_number(name, path)
    is_link = info.issym() or info.islnk()
    if number is None or not (info.isreg() or is_link):
        return _Entry(name, None)
    packing = Packing.LINK if is_link else Packing.SPARSE if info.issparse() else Packing.TAR
    size = 0 if is_link else info.size
    file_name = name.rpartition("/")[2]
    return _Entry(name, _Member(number, file_name, size, stamp, info.offset_data, size, packing))


def _frame_number(name: str, path: Path) -> int | None:
    """Return the frame number of a member, or None if it is no frame.

    Raises:
        VideoIdError: it is a frame by its name, but its path could lead out of the tree.
    """
    number = as_number(name.replace("\\", "/").rpartition("/")[2])
    if number is not None:
        check_source_id(name, str(path))
    return number


def _damaged(path: Path, kind: str, found: object) -> FramesError:
    text = " ".join(str(found).split()) or type(found).__name__
    message = f"{path} must be {kind}, but is damaged or something else: {text}; get it again"
    return FramesError(message)
