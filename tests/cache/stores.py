"""Stores whose videos a test knows, what is in them, and damage done to them."""

import re
import shutil

from abaw.cache import LabelStore, StoreMissingError, list_stores, open_store

BACKEND = {".h5": "hdf5", ".zarr": "zarr"}
OTHER = {".h5": ".zarr", ".zarr": ".h5"}
GONE = None


class Sources:
    """Videos by id and version, each of `total` source frames."""

    def __init__(self, kit, total=4):
        self.kit = kit
        self.total = total

    def __call__(self, video, version=1):
        return self.kit.make_source(video, self.total, seed=version, unreadable=[1])

    def write(self, path, base=(), parts=(), **spec):
        """Write a store: videos of the compacted tree, and (video, version) of parts."""
        with self.kit.open_writer(path, self.kit.make_spec(**spec)) as writer:
            for video in base:
                self.kit.add_whole(writer, self(video))
            if base:
                writer.compact()
            for video, version in parts:
                self.kit.add_whole(writer, self(video, version), version)
                writer.flush()


def visible(sources, path):
    """Return {video: version} of an open store, each row compared; `GONE` if there is no store."""
    try:
        store = open_store(path)
    except StoreMissingError:
        return GONE
    found = {}
    with store:
        for video, record in store.items():
            found[video] = record.version
            sources.kit.assert_holds(store, sources(video, record.version))
    return found


def names(folder):
    """Return what lies in a folder, without what differs from run to run: numbers and locks."""
    found = {
        re.sub(r"\d+-[0-9a-f]{12}", "N", str(p.relative_to(folder))) for p in folder.rglob("*")
    }
    return sorted(name for name in found if not re.search(r"lock-\d+$", name))


def contents(sources, folder, *, is_deep=True):
    """Return all that the caches in a folder hold, but what tells how it was made.

    If not deep, of stores which videos they hold.
    """
    found = {}
    for cache in sorted(path for path in folder.iterdir() if path.is_dir()):
        for name in list_stores(cache):
            place = f"{cache.name}/{name}"
            with open_store(cache / name) as store:
                if isinstance(store, LabelStore):
                    found[place] = store.fingerprint
                elif store.n_parts or not is_deep:
                    found[place] = visible(sources, cache / name)
                else:
                    found[place] = sources.kit.snapshot(cache / name)
                    for told in ("@provenance", "@checksum", "@replaces", "@replaces_checksum"):
                        found[place].pop(told, None)
    return found


def copy(old, new):
    """Copy a file or a folder."""
    if old.is_dir():
        shutil.copytree(old, new)
    else:
        shutil.copy(old, new)


# --- damage ---------------------------------------------------------------------------------------


def flip(path, what):
    """Change one bit of the only place in a file that holds these bytes."""
    data = bytearray(path.read_bytes())
    assert data.count(what) == 1
    data[data.index(what)] ^= 1
    path.write_bytes(data)


def row_files(path):
    """Return the files of a store that hold embeddings, by name."""
    if path.suffix == ".zarr":
        return sorted(path.glob("**/embedding/c/0/0"))
    return sorted([*path.parent.glob("*.h5"), *path.parent.glob("*.parts/*.h5")])


def damage_rows(sources, path, video, version=1):
    """Flip a bit in the rows of a video."""
    rows = sources(video, version).rows.astype("f2").tobytes()
    (file,) = [file for file in row_files(path) if rows in file.read_bytes()]
    flip(file, rows)


def damage_index(sources, path, video):
    """Flip a bit in the index of the tree that holds a video."""
    rows = sources(video).rows.astype("f2").tobytes()
    (file,) = [file for file in row_files(path) if rows in file.read_bytes()]
    if path.suffix == ".zarr":
        file = file.parents[3] / "index/input_hash/c/0/0"
    low_half = (sources(video).hash() % 2**64).to_bytes(8, "little")
    flip(file, low_half)
