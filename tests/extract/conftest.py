"""What the tests of stage 1 may use."""

from pathlib import Path

import pytest
import torch

from .made import write_tree


@pytest.fixture
def one_thread():
    """Networks this small are slower on two threads, and far slower on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "frames")
