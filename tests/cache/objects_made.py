"""Stores on object storage, for tests."""

from zarr.abc.store import Store
from zarr.storage import MemoryStore

from abaw.cache import objects

KEY = "features/mae.zarr"


class LooksThenWrites(MemoryStore):
    """A store that has nothing better than what zarr gives to every store."""

    set_if_not_exists = Store.set_if_not_exists


def is_locked(path):
    return objects.read(path / "parts" / "lock") is not None


def write(kit, path, sources, *, version=1, compact=True):
    with kit.open_writer(path) as writer:
        for source in sources:
            kit.add_whole(writer, source, version)
            writer.flush()
        if compact:
            writer.compact()
