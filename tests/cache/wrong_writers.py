"""Writers with one thing wrong, which a check of crashes or power cuts has to catch."""

from contextlib import contextmanager

import h5py
import numpy as np
import zarr

from abaw.cache import h5_store, zarr_store, zarr_tree


def write_under_the_final_name():
    """Leave out the temporary name."""
    h5_store.temporary_path = zarr_store.temporary_path = lambda path: path


class _Later:
    """Remembers the rows, writes everything else at once."""

    def __init__(self, writer):
        self.writer = writer
        self.blocks = {}

    def create_rows(self, name, shape, dtype):
        self.writer.create_rows(name, shape, dtype)
        self.blocks[name] = [np.empty((0, *shape[1:]), dtype)]

    def append_rows(self, name, block):
        self.blocks[name].append(np.array(block))

    def write_array(self, name, array):
        self.writer.write_array(name, array)

    def write_attributes(self, attributes):
        self.writer.write_attributes(attributes)


def write_index_before_rows():
    """Publish a tree whose index is there and whose rows are written afterwards."""
    whole_file, whole_group = h5_store.write_file, zarr_store.write_group
    for kind in (h5_store._H5TreeWriter, zarr_tree.ZarrTreeWriter):
        kind.check_filled = lambda self: None

    @contextmanager
    def write_file(path):
        with whole_file(path) as writer:
            later = _Later(writer)
            yield later
            for name, blocks in later.blocks.items():  # room for the rows
                if any(map(len, blocks)):
                    writer._file[name][...] = 0
        with h5_store.WholeFile(path, "r+b") as stream, h5py.File(stream, "r+") as file:
            for name, blocks in later.blocks.items():
                file[name][...] = np.concatenate(blocks)

    @contextmanager
    def write_group(path):
        with whole_group(path) as writer:
            later = _Later(writer)
            yield later
        group = zarr.open_group(path, mode="r+")
        for name, blocks in later.blocks.items():
            if group[name].size:
                group[name][...] = np.concatenate(blocks)

    h5_store.write_file, zarr_store.write_group = write_file, write_group
