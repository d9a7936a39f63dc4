"""A disk that forgets: recorded changes are replayed up to a power cut; see `recorder`.

What is assumed of a file system, and no more:

- What was written to a file and not fsynced is there, missing (the old length, or zeros), or torn.
- A name that was made, moved, linked or removed in a folder since that folder's last fsync is so,
  or is not; each independently of the others, of their order, and of all data. An fsync of a file
  says nothing about its name.
- One rename, link or removal has happened or has not; it is never half done.

Journaling file systems promise more: they keep names in order. Network file systems promise less.
"""

from dataclasses import dataclass, field


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
