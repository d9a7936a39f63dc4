"""Writes down every change that a process makes of the file system."""

import io
import os
import pickle
import stat
import threading
from pathlib import Path

from abaw.cache import h5_store

KILLED = 77


class Recorder:
    """Writes down each change that this process makes, before the next one can begin.

    Args:
        trace: file that the records are appended to.
        root: folder to record; what lies elsewhere is not.
        kill_at: end the process, with no clean-up, before the record of this number.
    """

    def __init__(self, trace, root, kill_at=None):
        self._trace = trace.open("ab", buffering=0)
        self._root = root
        self._kill_at = kill_at
        self._lock = threading.RLock()
        self._n = 0

    def note(self, *record):
        """Append a record."""
        self._trace.write(pickle.dumps(record))
        self._n += 1

    def promise(self, what):
        """Note what a writer has just said to be on the disk: a dictionary."""
        with self._lock:
            self.note("promise", dict(what))

    def change(self, function, describe, *args, **kwargs):
        """Call what changes a file, and note what `describe` says of it."""
        with self._lock:
            if self._n == self._kill_at:
                os._exit(KILLED)
            result = function(*args, **kwargs)
            for record in describe(result):
                self.note(*record)
            return result

    def is_inside(self, path, dir_fd=None):
        folder = self.folder_of(path, dir_fd)
        return folder == self._root or self._root in folder.parents

    @staticmethod
    def folder_of(path, dir_fd=None):
        if dir_fd is not None:
            return Path(f"/proc/self/fd/{dir_fd}").readlink()
        return Path(path).absolute().parent

    def place(self, path, dir_fd=None):
        """Return (inode of the folder, name)."""
        folder = os.fstat(dir_fd) if dir_fd is not None else self.folder_of(path).stat()
        return folder.st_ino, Path(path).name

    def arm(self):
        """Put this recorder before every call of Python that changes a file system."""
        self._arm_names()
        self._arm_open()
        recorder, open_file, fsync = self, io.open, os.fsync
        whole = h5_store.WholeFile
        self._arm_writes(whole, whole.write, whole.truncate)

        class RecordedWhole(whole):
            def __new__(cls, file, mode="r"):
                return recorder.opened(whole, file, mode)

        class RecordedFile(io.FileIO):
            pass

        self._arm_writes(RecordedFile, io.FileIO.write, io.FileIO.truncate)

        def open_recorded(file, mode="r", *args, **kwargs):
            is_ours = not isinstance(file, int) and recorder.is_inside(file)
            if not is_ours or not set(mode) & set("wax+"):
                return open_file(file, mode, *args, **kwargs)
            assert "b" in mode, f"text mode {mode} is not recorded"
            raw = recorder.opened(RecordedFile, file, mode.replace("b", ""))
            return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

        def fsync_recorded(descriptor):
            target = os.fstat(descriptor)
            kind = "fsync folder" if stat.S_ISDIR(target.st_mode) else "fsync file"
            recorder.change(fsync, lambda _: [(kind, target.st_ino)], descriptor)

        io.open, os.fsync, h5_store.WholeFile = open_recorded, fsync_recorded, RecordedWhole

    def opened(self, kind, file, mode):
        """Open a file for writing and note what that changed."""
        with self._lock:
            existed = Path(file).exists()
            place = self.place(file)

            def describe(stream):
                inode = os.fstat(stream.fileno()).st_ino
                if not existed:
                    yield "create", *place, inode
                elif "w" in mode:
                    yield "truncate", inode, 0

            return self.change(kind, describe, file, mode)

    def _arm_writes(self, kind, write, truncate):
        recorder = self

        def write_recorded(stream, data):
            inode, offset = os.fstat(stream.fileno()).st_ino, stream.tell()
            copy = bytes(memoryview(data).cast("B"))
            return recorder.change(
                write, lambda n: [("write", inode, offset, copy[:n])], stream, data
            )

        def truncate_recorded(stream, size=None):
            inode = os.fstat(stream.fileno()).st_ino
            size = stream.tell() if size is None else size
            return recorder.change(truncate, lambda _: [("truncate", inode, size)], stream, size)

        kind.write, kind.truncate = write_recorded, truncate_recorded

    def _arm_names(self):
        recorder = self

        def arm_two(name):
            function = getattr(os, name)

            def recorded(source, target, **kwargs):
                if not recorder.is_inside(target):
                    return function(source, target, **kwargs)
                inode = os.lstat(source).st_ino
                come, went = recorder.place(source), recorder.place(target)
                kind = "link" if name == "link" else "rename"
                records = [(kind, *come, *went, inode)]
                return recorder.change(function, lambda _: records, source, target, **kwargs)

            setattr(os, name, recorded)

        def arm_one(name):
            function = getattr(os, name)

            def recorded(path, *args, dir_fd=None, **kwargs):
                if not recorder.is_inside(path, dir_fd):
                    return function(path, *args, dir_fd=dir_fd, **kwargs)

                def describe(_):
                    place = recorder.place(path, dir_fd)
                    inode = os.stat(path, dir_fd=dir_fd).st_ino if name == "mkdir" else 0
                    return [(name, *place, inode)]

                return recorder.change(function, describe, path, *args, dir_fd=dir_fd, **kwargs)

            setattr(os, name, recorded)

        for name in ("replace", "rename", "link"):
            arm_two(name)
        for name in ("mkdir", "unlink", "rmdir"):
            arm_one(name)

        def refused(*_, **__):
            message = "this call is not recorded"
            raise AssertionError(message)

        os.truncate = os.symlink = os.sendfile = os.copy_file_range = os.ftruncate = refused

    def _arm_open(self):
        open_descriptor = os.open

        def checked(file, flags, *args, **kwargs):
            assert not flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR), f"{file} is not recorded"
            return open_descriptor(file, flags, *args, **kwargs)

        os.open = checked


def read_trace(trace):
    """Return the records of a trace."""
    records = []
    with trace.open("rb") as stream:
        while stream.peek(1):
            records.append(pickle.load(stream))
    return records
