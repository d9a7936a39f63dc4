"""What an HDF5 file may hold that a store may not."""

import os
import pickle
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from .damages import HUGE, Damage, Place


def _h5(change: Callable[[h5py.File, str, Place], None]) -> Damage:
    """Return a damage of an element that is drawn."""

    def damage(place: Place) -> None:
        names: list[str] = []
        with h5py.File(place.file(".h5"), "r+") as file:
            file.visititems(
                lambda name, what: names.append(name) if isinstance(what, h5py.Dataset) else None
            )
            change(file, names[place.number(len(names))], place)

    damage.__name__ = change.__name__
    return damage


def _of_type(file: h5py.File, name: str, place: Place) -> None:
    types: list[Any] = [
        *("f8", "i4", "u1", "S5", ">f2", ">i8", "c8", "b1", "V7", [("a", "i4"), ("b", "f8")]),
        *(h5py.string_dtype(), h5py.vlen_dtype(np.int32), h5py.ref_dtype, h5py.regionref_dtype),
        h5py.enum_dtype({"A": 1}, "i4"),
    ]
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, types[place.number(len(types))])


def _of_shape(file: h5py.File, name: str, place: Place) -> None:
    dtype, shape = file[name].dtype, file[name].shape
    shapes = [(), (*shape, 1), (1, *shape), (shape[0] + 1, *shape[1:]), shape[::-1], (0,) * 3]
    del file[name]
    file.create_dataset(name, shapes[place.number(len(shapes))], dtype)


def _of_huge_shape(file: h5py.File, name: str, _: Place) -> None:
    dtype, shape = file[name].dtype, file[name].shape
    del file[name]
    file.create_dataset(name, (HUGE, *shape[1:]), dtype)  # without room until it is written


def _of_layout(file: h5py.File, name: str, place: Place) -> None:
    data = file[name][...]
    del file[name]
    ways: list[dict[str, Any]] = [{"chunks": True}, {"compression": "gzip"}, {"fletcher32": True}]
    ways += [{"maxshape": (None, *data.shape[1:])}, {"shuffle": True, "chunks": True}]
    file.create_dataset(name, data=data, **ways[place.number(len(ways))])


def _of_pickled_objects(file: h5py.File, name: str, _: Place) -> None:
    del file[name]
    file[name] = np.void(pickle.dumps(np.array([{"a": 1}, Place], object)))


def _to_itself(file: h5py.File, name: str, _: Place) -> None:
    del file[name]
    file[name] = h5py.SoftLink(f"/{name}")


def _to_another(file: h5py.File, name: str, place: Place) -> None:
    del file[name]
    others = ["embedding", "frame", "index/start", "index", "/"]
    target = next(o for o in others[place.number(len(others)) :] + others if o in file)
    file[name] = h5py.SoftLink(f"/{target}") if place.number(2) else file[target]


def _in_another_file(file: h5py.File, name: str, place: Place) -> None:
    del file[name]
    other = place.outside / "mae.h5"
    file[name] = h5py.ExternalLink(os.path.relpath(other, place.store.parent), f"/{name}")


def _group_in_another_file(file: h5py.File, name: str, place: Place) -> None:
    group = "index" if place.number(2) else "report"
    del file[group]
    file[group] = h5py.ExternalLink(str(place.outside / "mae.h5"), f"/{group}")


def _bytes_in_another_file(file: h5py.File, name: str, place: Place) -> None:
    dtype, shape = file[name].dtype, file[name].shape
    del file[name]
    where = [(str(place.outside / "rows"), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(name, shape, dtype, external=where)


def _virtual(file: h5py.File, name: str, place: Place) -> None:
    dtype, shape = file[name].dtype, file[name].shape
    layout = h5py.VirtualLayout(shape, dtype)
    layout[...] = h5py.VirtualSource(str(place.outside / "mae.h5"), name, shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def _a_group(file: h5py.File, name: str, _: Place) -> None:
    del file[name]
    file.create_group(name)


def _a_named_type(file: h5py.File, name: str, _: Place) -> None:
    del file[name]
    file[name] = np.dtype("f4")


def _attribute(file: h5py.File, _: str, place: Place) -> None:
    names = sorted(file.attrs)
    name = names[place.number(len(names))]
    values: list[Any] = [
        *(0, -1, 1.5, float("nan"), "", "x" * 10_000, "[" * 100_000, b"\xff\xfe", "\ud800"),
        *(np.void(pickle.dumps({1: 2})), np.arange(5), h5py.Empty("f4"), np.zeros(0)),
        *("{}", "[]", "null", '{"dim": 1e999}', "NaN", "../../../etc/passwd", np.array([b"a"])),
        *(file.ref, 2**63 - 1, np.uint64(2**64 - 1), True),
    ]
    del file.attrs[name]
    value = values[place.number(len(values))]
    if isinstance(value, str) and value == "\ud800":
        value = np.frombuffer(b"\xed\xa0\x80", "S3")[0]
    if not isinstance(value, str) or value:
        file.attrs[name] = value


def _attribute_lost(file: h5py.File, _: str, place: Place) -> None:
    names = sorted(file.attrs)
    del file.attrs[names[place.number(len(names))]]


H5: list[Damage] = [
    _h5(change)
    for change in (
        *(_of_type, _of_shape, _of_huge_shape, _of_layout, _of_pickled_objects, _to_itself),
        *(_to_another, _in_another_file, _group_in_another_file, _bytes_in_another_file, _virtual),
        *(_a_group, _a_named_type, _attribute, _attribute, _attribute_lost),
    )
]
