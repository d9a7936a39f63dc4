"""A store that is not what the format says is refused when it is opened, by name."""

import json

import h5py
import numpy as np
import pytest

from abaw.cache import CorruptStoreError, open_store
from abaw.cache.index import StoreHead, write_index, write_rows_room
from abaw.cache.locate import backend_of
from abaw.cache.schema import index_checksum, unpack


@pytest.fixture
def compacted(kit, path):
    """A compacted store of three videos."""
    with kit.open_writer(path) as writer:
        for n, video in enumerate("abc"):
            kit.add_whole(writer, kit.make_source(video, n + 2, unreadable=[1]))
        writer.compact()
    return path


class _Changing:
    """Passes a tree on to a writer with some elements or attributes changed."""

    def __init__(self, writer, arrays, attributes, rows):
        self.writer, self.arrays, self.attributes, self.rows = writer, arrays, attributes, rows
        self.written = {}

    def create_rows(self, name, shape, dtype):
        shape, dtype = self.rows.get(name, (shape, np.dtype(dtype)))
        self.writer.create_rows(name, shape, dtype)
        self.writer.append_rows(name, np.zeros(shape, dtype))

    def append_rows(self, name, block):
        pass

    def write_array(self, name, array):
        self.written[name] = self.arrays.get(name, array)
        self.writer.write_array(name, self.written[name])

    def write_attributes(self, attributes):
        attributes = {**attributes, **self.attributes}
        attributes["checksum"] = index_checksum(attributes, self.written)
        self.writer.write_attributes(attributes)


def write_changed(kit, path, arrays=None, attributes=None, rows=None):
    """Write a store of no videos, with a right checksum, that has these elements instead."""
    with backend_of(path).write_part(path, "00000001-0123456789ab") as writer:
        changing = _Changing(writer, arrays or {}, attributes or {}, rows or {})
        write_rows_room(changing, kit.make_spec(), 0)
        write_index(changing, StoreHead(kit.make_spec(), {}), [], [])


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        pytest.param(
            {"rows": {"embedding": ((0, 5), np.dtype("f8"))}},
            "embedding as float16 or float32, but it is float64",
            id="dtype",
        ),
        pytest.param(
            {"rows": {"embedding": ((0, 5), np.dtype("f4"))}},
            r"\(0, 5\) float16, .* is \(0, 5\) float32",
            id="dtype-of-the-spec",
        ),
        pytest.param(
            {"rows": {"embedding": ((0, 6), np.dtype("f2"))}},
            r"\(0, 5\) float16, .* is \(0, 6\) float16",
            id="dim",
        ),
        pytest.param(
            {"rows": {"embedding": ((0,), np.dtype("f2"))}},
            r"embedding of shape \(n, D\), but it is \(0,\)",
            id="axes",
        ),
        pytest.param({"rows": {"frame": ((1,), np.dtype("i4"))}}, r"shape \(1, 5\)", id="rows"),
        pytest.param(
            {"arrays": {"index/start": np.zeros(0, "i4")}},
            "index/start as int64, but it is int32",
            id="index-dtype",
        ),
        pytest.param(
            {"arrays": {"index/start": np.zeros(1, "i8")}},
            "0 of index/start, but holds 1",
            id="index-length",
        ),
        pytest.param(
            {"attributes": {"format": "other"}},
            "format='abaw-embeddings' .* has format='other'",
            id="format",
        ),
        pytest.param({"attributes": {"format_version": 0}}, "at least 1, but has 0", id="version"),
        pytest.param(
            {"attributes": {"fingerprint": "00"}},
            "must have the fingerprint .* but has 00",
            id="fingerprint",
        ),
        pytest.param(
            {"attributes": {"embedding_spec": "{}"}}, "fields of an EmbeddingSpec", id="spec"
        ),
        pytest.param(
            {"attributes": {"precisions": "3"}}, "JSON list of texts .* has '3'", id="precisions"
        ),
    ],
)
def test_an_element_that_is_not_as_the_format_says_is_refused(kit, path, change, pattern):
    write_changed(kit, path, **change)
    with pytest.raises(CorruptStoreError, match=pattern):
        open_store(path)


ENTRY = {
    "index/id_bytes": np.frombuffer(b"a", "u1"), "index/id_offset": np.array([0, 1]),
    "index/start": np.array([0]), "index/length": np.array([2]),
    "index/version": np.array([1], "i4"), "index/source_start": np.array([0]),
    "index/source_length": np.array([2]), "index/source_total": np.array([2]),
    "index/input_hash": np.zeros((1, 2), "u8"), "index/stat_hash": np.zeros((1, 2), "u8"),
    "index/precision": np.zeros(1, "u1"), "index/checksum": np.zeros(1, "u8"),
}  # fmt: skip
ROWS = {"embedding": ((2, 5), np.dtype("f2")), "frame": ((2,), np.dtype("i4"))}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("start", 1), ("start", -1), ("start", 2**62), ("length", 3), ("length", -1),
        ("version", 0), ("source_start", 1), ("source_start", -1), ("source_length", 1),
        ("source_length", 0), ("source_length", 2**62), ("source_total", 1),
    ],
)  # fmt: skip
def test_an_entry_outside_its_rows_or_its_source_is_refused(kit, path, name, value):
    attributes = {"precisions": '["fp32"]'}
    write_changed(kit, path, ENTRY, attributes, ROWS)
    assert open_store(path).videos == ("a",)
    changed = {f"index/{name}": np.full_like(ENTRY[f"index/{name}"], value)}
    other = path.parent / "x" / path.name
    write_changed(kit, other, ENTRY | changed, attributes, ROWS)
    with pytest.raises(CorruptStoreError, match=f"entry 0 of the index .*{value}"):
        open_store(other)


@pytest.mark.parametrize("offset", [[], [1, 3], [0, 2], [0, 2, 1, 3]])
def test_offsets_that_do_not_cut_a_pool_of_texts_are_refused(tmp_path, offset):
    arrays = {"index/id_bytes": np.frombuffer(b"abc", "u1"), "index/id_offset": np.array(offset)}
    with pytest.raises(CorruptStoreError, match="rising index/id_offset from 0 to 3"):
        unpack(arrays, "index/id", tmp_path)


def test_a_text_that_is_not_utf8_is_refused(tmp_path):
    arrays = {"index/id_bytes": np.array([255], "u1"), "index/id_offset": np.array([0, 1])}
    with pytest.raises(CorruptStoreError, match="must hold index/id in UTF-8"):
        unpack(arrays, "index/id", tmp_path)


def test_a_precision_without_a_name_is_refused(kit, path):
    write_changed(kit, path, ENTRY, {"precisions": "[]"}, ROWS)
    with pytest.raises(CorruptStoreError, match="name the precision of every entry"):
        open_store(path)


def test_a_flipped_byte_in_index_or_attributes_is_refused(compacted):
    if compacted.suffix == ".h5":
        with h5py.File(compacted) as file:
            places = [(compacted, file["index/version"].id.get_offset())]
        text = compacted.read_bytes()
        places.append((compacted, text.index(b'"objective":"random"') + 14))
    else:
        (group,) = compacted.glob("rows-*")
        node = group / "zarr.json"
        places = [(group / "index/version/c/0", 0), (node, node.read_bytes().index(b"random"))]
    for file, place in places:
        sound = file.read_bytes()
        data = bytearray(sound)
        data[place] ^= 2
        file.write_bytes(data)
        with pytest.raises(CorruptStoreError, match="must have the checksum"):
            open_store(compacted)
        file.write_bytes(sound)
    assert len(open_store(compacted)) == 3


def test_an_h5_file_cut_short_is_refused(kit, tmp_path):
    path = tmp_path / "mae.h5"
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 9))
        writer.compact()
    sound = path.read_bytes()
    for size in (0, 100, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:size])
        with pytest.raises(CorruptStoreError, match=r"must be a whole HDF5 file"):
            open_store(path)


@pytest.mark.parametrize("layout", ["chunked", "linked", "missing"])
def test_an_h5_element_that_is_not_plain_is_refused(kit, tmp_path, layout):
    path = tmp_path / "mae.h5"
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 9))
        writer.compact()
    with h5py.File(path, "r+") as file:
        rows = file["embedding"][...]
        del file["embedding"]
        if layout == "chunked":
            file.create_dataset("embedding", data=rows, chunks=(1, 5))
        elif layout == "linked":
            file["embedding"] = h5py.ExternalLink("/etc/passwd", "/embedding")
    with pytest.raises(CorruptStoreError, match="array embedding as plain, uncompressed data"):
        open_store(path)


@pytest.mark.parametrize("name", ["embedding/c/0/0", "frame/c/0", "index/start/c/0"])
def test_a_missing_or_short_zarr_chunk_is_an_error_and_never_zeros(kit, tmp_path, name):
    path = tmp_path / "mae.zarr"
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 9))
        writer.compact()
    (chunk,) = path.glob(f"rows-*/{name}")
    sound = chunk.read_bytes()
    chunk.write_bytes(sound[:-1])
    with pytest.raises(CorruptStoreError, match=f"{len(sound)} bytes, but has {len(sound) - 1}"):
        open_store(path)
    chunk.unlink()
    with pytest.raises(CorruptStoreError, match=f"{name} must be there, but is missing"):
        open_store(path)


def test_a_compressed_zarr_array_is_refused(kit, tmp_path):
    path = tmp_path / "mae.zarr"
    with kit.open_writer(path) as writer:
        writer.compact()
    (node_path,) = path.glob("rows-*/frame/zarr.json")
    node = json.loads(node_path.read_text())
    node["codecs"].append({"name": "zstd", "configuration": {"level": 0, "checksum": False}})
    node_path.write_text(json.dumps(node))
    with pytest.raises(CorruptStoreError, match="array frame as plain, uncompressed data"):
        open_store(path)


def test_a_zarr_root_that_names_another_folder_is_refused(kit, tmp_path):
    path = tmp_path / "mae.zarr"
    with kit.open_writer(path) as writer:
        writer.compact()
    root = path / "zarr.json"
    node = json.loads(root.read_text())
    node["attributes"]["current"] = "../other"
    root.write_text(json.dumps(node))
    with pytest.raises(CorruptStoreError, match=r"current, but has '\.\./other'"):
        open_store(path)


@pytest.mark.parametrize("which", ["length", "heap"])
def test_a_text_of_an_h5_file_that_claims_gigabytes_is_refused_before_they_are_taken(
    kit, tmp_path, which
):
    path = tmp_path / "mae.h5"
    with kit.open_writer(path) as writer:
        kit.add_whole(writer, kit.make_source("a", 4))
        writer.compact()
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    # An attribute names its text by length, the heap's address, and its number in there.
    text = len("abaw-embeddings").to_bytes(4, "little") + heap.to_bytes(8, "little")
    place = heap + 8 if which == "heap" else data.index(text)
    data[place + 3] = 0x88
    path.write_bytes(data)
    with pytest.raises(CorruptStoreError, match=r"must hold 2\d{9} bytes of a text"):
        open_store(path)
