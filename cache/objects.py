"""Objects of a zarr store, for code that does not await: zarr's stores are asynchronous."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from zarr.abc.store import RangeByteRequest
from zarr.buffer import cpu, default_buffer_prototype
from zarr.core.sync import sync

from .object_path import ObjectPath

A = TypeVar("A")
B = TypeVar("B")

_AT_ONCE: Final = 32
"""Requests under way: each takes tens of milliseconds, and a tree is some forty objects."""


def read(path: ObjectPath) -> bytes | None:
    """Return an object's bytes, or None if there is none."""
    return read_many([path])[0]


def read_many(paths: Sequence[ObjectPath]) -> list[bytes | None]:
    """Return the bytes of each object, None for one that is not there."""
    return _map(lambda path: _get(path, None), paths)


def read_ranges(ranges: Sequence[tuple[ObjectPath, int, int]]) -> list[bytes | None]:
    """Return bytes [start, stop) of each object, fewer where it ends; None where it is missing."""
    return _map(lambda one: _get(one[0], RangeByteRequest(one[1], one[2])), ranges)


def write(path: ObjectPath, data: bytes) -> None:
    """Put an object, in place of one that is there."""
    write_many([(path, data)])


def write_many(items: Sequence[tuple[ObjectPath, bytes]]) -> None:
    """Put objects, in any order, in place of those that are there."""
    _map(lambda one: one[0].store.set(one[0].key, cpu.Buffer.from_bytes(one[1])), items)


def write_if_absent(path: ObjectPath, data: bytes) -> None:
    """Put an object unless there is one; `read` tells which."""
    sync(path.store.set_if_not_exists(path.key, cpu.Buffer.from_bytes(data)))


def remove_many(paths: Iterable[ObjectPath]) -> None:
    """Remove objects, in any order; one that is not there is fine."""
    _map(lambda path: path.store.delete(path.key), list(paths))


def are_there(paths: Sequence[ObjectPath]) -> list[bool]:
    """Return whether each object is there."""
    return _map(lambda path: path.store.exists(path.key), paths)


def names_in(path: ObjectPath) -> list[str]:
    """Return the next part of every key that begins with `path`, sorted."""

    async def listed() -> set[str]:
        # Some stores give the last part, some the whole key.
        return {name.rstrip("/").rpartition("/")[2] async for name in path.store.list_dir(path.key)}

    return sorted(sync(listed()) - {""})


def keys_under(path: ObjectPath) -> set[str]:
    """Return the keys of all objects under `path`, without its own."""
    beginning = f"{path.key}/"

    async def listed() -> set[str]:
        return {key async for key in path.store.list_prefix(beginning)}

    return {key.removeprefix(beginning) for key in sync(listed()) if key.startswith(beginning)}


async def _get(path: ObjectPath, byte_range: RangeByteRequest | None) -> bytes | None:
    buffer = await path.store.get(path.key, default_buffer_prototype(), byte_range)
    return None if buffer is None else buffer.to_bytes()


def _map(function: Callable[[A], Awaitable[B]], items: Sequence[A]) -> list[B]:
    """Return what the function gives for each item, many at once; all have ended at an error."""

    async def gathered() -> list[B]:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(item: A) -> B:
            async with gate:
                return await function(item)

        # Else requests go on beside the clean-up that the first error leads to.
        results = await asyncio.gather(*map(one, items), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return [result for result in results if not isinstance(result, BaseException)]

    return sync(gathered())
