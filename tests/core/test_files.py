"""Folders made beside processes that remove and make them too."""

import errno
import os
from pathlib import Path

import pytest

from abaw.core.files import make_one_folder


class Fleeting(type(Path())):
    """A folder that another process has just removed when it is looked at, and made again after."""

    n_looks = 0

    def stat(self, **options):
        type(self).n_looks += 1
        if type(self).n_looks == 1:
            raise FileNotFoundError(errno.ENOENT, "gone", str(self))
        return super().stat(**options)


def test_a_folder_that_others_remove_and_make_again_is_no_file(tmp_path: Path) -> None:
    folder = Fleeting(tmp_path / "parts")
    os.mkdir(tmp_path / "parts")  # noqa: PTH102 - not one look at it
    make_one_folder(folder)
    assert Fleeting.n_looks > 1


def test_a_file_or_a_link_to_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "link"):
        with pytest.raises(FileExistsError):
            make_one_folder(tmp_path / name)
