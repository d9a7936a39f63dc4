"""`python logged.py extract …`: the command line, with a line of a log for every batch computed.

Processes that it spawns import this file too, and so write the same log.
"""

import os
import struct
import time

from abaw.cli import main
from abaw.extract.lane import Lane

RECORD = struct.Struct("<qdq")  # process, time, frames

_launch = Lane._launch


def _logged_launch(lane: Lane) -> None:
    n_frames = sum(map(len, lane._full))
    _launch(lane)
    with open(os.environ["ABAW_TEST_LOG"], "ab", buffering=0) as log:  # noqa: PTH123
        log.write(RECORD.pack(os.getpid(), time.time(), n_frames))


Lane._launch = _logged_launch

if __name__ == "__main__":
    main()
