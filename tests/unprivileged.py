"""A child process that obeys the permissions of files, also when root runs the tests."""

import ctypes
import os
import sys

import pytest


def obey_permissions() -> None:
    """Drop what lets root read and write all; a `preexec_fn`, for the program that follows."""
    if os.geteuid() == 0:
        drop_from_bounding_set, override, read_search = 24, 1, 2
        for capability in (override, read_search):
            assert ctypes.CDLL(None).prctl(drop_from_bounding_set, capability, 0, 0, 0) == 0


permissions_hold = pytest.mark.skipif(
    sys.platform != "linux" and os.geteuid() == 0, reason="root may read and write all"
)
