"""A disk that forgets: every change of the file system is recorded, and a power cut replayed.

What is assumed of a file system, and no more:

- What was written to a file and not fsynced is there, missing (the old length, or zeros), or torn.
- A name that was made, moved, linked or removed in a folder since that folder's last fsync is so,
  or is not; each independently of the others, of their order, and of all data. An fsync of a file
  says nothing about its name.
- One rename, link or removal has happened or has not; it is never half done.

Journaling file systems promise more: they keep names in order. Network file systems promise less.
"""

import io
import os
import pickle
import stat
import threading
from dataclasses import dataclass, field
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


@dataclass
class _File:
    safe: bytes = b""
    """What is on the disk for certain."""
    writes: list = field(default_factory=list)
    """(offset, bytes), or (size, None) for a truncation, since the last fsync."""


@dataclass
class _Folder:
    safe: dict = field(default_factory=dict)
    """Name -> node, for certain."""
    changes: list = field(default_factory=list)
    """Dictionaries name -> node or None, one a change, since the last fsync."""

    def now(self):
        """Return name -> node, as processes see it."""
        names = dict(self.safe)
        for change in self.changes:
            names.update(change)
        return {name: node for name, node in names.items() if node is not None}


class Disk:
    """What a power cut can leave of a folder that was empty when its trace began."""

    def __init__(self, root_inode):
        self.root = _Folder()
        self._nodes = {root_inode: self.root}
        self.promised = {}
        self.n_lost = 0
        """Changes that the last `after_cut` dropped or tore."""

    def play(self, record):
        """Make one recorded change."""
        kind, *rest = record
        if kind == "promise":
            self.promised |= rest[0]
        elif kind in {"create", "mkdir"}:
            folder, name, inode = rest
            node = self._nodes[inode] = _File() if kind == "create" else _Folder()
            self._nodes[folder].changes.append({name: node})
        elif kind in {"unlink", "rmdir"}:
            self._nodes[rest[0]].changes.append({rest[1]: None})
        elif kind == "link":
            self._nodes[rest[2]].changes.append({rest[3]: self._nodes[rest[4]]})
        elif kind == "rename":
            folder, name, target, new_name, inode = rest
            assert folder == target, "a rename between folders is not modelled"
            self._nodes[folder].changes.append({name: None, new_name: self._nodes[inode]})
        elif kind == "write":
            self._nodes[rest[0]].writes.append((rest[1], rest[2]))
        elif kind == "truncate":
            self._nodes[rest[0]].writes.append((rest[1], None))
        elif kind == "fsync file":
            file = self._nodes[rest[0]]
            file.safe, file.writes = _written(file.safe, file.writes), []
        else:
            assert kind == "fsync folder"
            folder = self._nodes.get(rest[0])
            if folder is not None:  # else it lies above the root
                folder.safe, folder.changes = folder.now(), []

    def before_cut(self):
        """Return {path: bytes, or None for a folder} as processes saw it last."""
        return dict(_walk(self.root, _Folder.now, lambda file: _written(file.safe, file.writes)))

    def after_cut(self, rng):
        """Return {path: bytes, or None for a folder} as a power cut may have left it.

        The extremes come often: of a cut, all names or none, all data or none.
        """
        self.n_lost = 0
        p_name = rng.choice([0.0, 0.5, 1.0, rng.random()])
        how = rng.choice(["kept", "old", "zeros", "some", "torn", "mixed", "mixed"])

        def names(folder):
            found = dict(folder.safe)
            for change in folder.changes:  # in their order, each happened or not
                if rng.random() < p_name:
                    found.update(change)
                else:
                    self.n_lost += 1
            return {name: node for name, node in found.items() if node is not None}

        contents = {}

        def data(file):
            if id(file) not in contents:  # it can have two names
                contents[id(file)] = cut(file)
            return contents[id(file)]

        def cut(file):
            one = rng.choice(["kept", "old", "zeros", "some", "torn"]) if how == "mixed" else how
            whole = _written(file.safe, file.writes)
            left = _cut(file, one, rng)
            self.n_lost += left != whole
            return left

        return dict(_walk(self.root, names, data))


def _written(data, writes):
    """Return the bytes of a file after writes in their order."""
    if not writes:
        return data
    found = bytearray(data)
    for offset, block in writes:
        if block is None:
            del found[offset:]
            found.extend(bytes(offset - len(found)))
        else:
            found.extend(bytes(max(0, offset - len(found))))
            found[offset : offset + len(block)] = block
    return bytes(found)


def _cut(file, how, rng):
    """Return the bytes of a file whose writes since its last fsync met a power cut."""
    if how == "kept" or not file.writes:
        return _written(file.safe, file.writes)
    if how == "old":
        return file.safe
    if how == "zeros":  # the new length, none of the new bytes
        blank = [(at, block and bytes(len(block))) for at, block in file.writes]
        return _written(file.safe, blank)
    if how == "some":
        return _written(file.safe, [write for write in file.writes if rng.random() < 0.5])
    n = rng.randrange(len(file.writes))
    at, block = file.writes[n]
    last = [] if block is None else [(at, block[: rng.randrange(len(block) + 1)])]
    return _written(file.safe, file.writes[:n] + last)


def _walk(folder, names, data, where=""):
    for name, node in sorted(names(folder).items()):
        path = f"{where}{name}"
        if isinstance(node, _Folder):
            yield path, None
            yield from _walk(node, names, data, f"{path}/")
        else:
            yield path, data(node)


def lay_out(files, root):
    """Write {path: bytes, or None for a folder} under an empty folder."""
    for path, data in files.items():
        if data is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(data)


def found_under(root):
    """Return {path: bytes, or None for a folder} of what lies under a folder."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else path.read_bytes()
        for path in sorted(root.rglob("*"))
    }
