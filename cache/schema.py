"""The elements of a store: their names, types and shapes, and the checks of what is read.

`cache/README.md` is the same thing in prose.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from ..core.names import check_video_id
from ..core.tasks import N_AUS
from .errors import CorruptStoreError, FormatVersionError
from .object_path import AnyPath
from .spec import canonical_json

Array = NDArray[Any]

EMBEDDINGS: Final = "abaw-embeddings"
LABELS: Final = "abaw-labels"
FORMAT_VERSION: Final = {EMBEDDINGS: 1, LABELS: 1}

HASH_MODULUS: Final = 1 << 128
"""Hashes of frames are added modulo this, so that the pieces of a video add up to its hash."""


@dataclass(frozen=True)
class Element:
    """What one array of a store must be."""

    dtypes: tuple[str, ...]
    columns: int | None = None
    """Length of the second axis; 0 stands for any length of at least 1, None for a 1-D array."""
    is_rows: bool = False
    """One row a frame: read by mapping, not loaded."""
    is_optional: bool = False
    """There only if the root attribute `optional` names it."""

    def check(
        self, name: str, dtype: "np.dtype[Any]", shape: tuple[int, ...], where: AnyPath
    ) -> None:
        """Raise CorruptStoreError unless an array of this type and shape may be this element."""
        wanted = tuple(np.dtype(text) for text in self.dtypes)
        if dtype not in wanted:
            names = " or ".join(str(item) for item in wanted)
            message = f"{where} must hold {name} as {names}, but it is {dtype}; write it again"
            raise CorruptStoreError(message)
        fits = len(shape) == (1 if self.columns is None else 2)
        if fits and self.columns is not None:
            fits = shape[1] == self.columns if self.columns else shape[1] >= 1
        if not fits:
            second = "" if self.columns is None else f", {self.columns or 'D'}"
            message = f"{where} must hold {name} of shape (n{second}), but it is {shape}"
            raise CorruptStoreError(message)


def pool_elements(name: str) -> dict[str, Element]:
    """Return the two elements of a pool of texts: all bytes, and where each text begins."""
    return {f"{name}_bytes": Element(("|u1",)), f"{name}_offset": Element(("<i8",))}


EMBEDDING_ELEMENTS: Final[Mapping[str, Element]] = {
    "embedding": Element(("<f2", "<f4"), columns=0, is_rows=True),
    "frame": Element(("<i4",), is_rows=True),
    "time": Element(("<f8",), is_rows=True, is_optional=True),
    **pool_elements("index/id"),
    "index/start": Element(("<i8",)),
    "index/length": Element(("<i8",)),
    "index/version": Element(("<i4",)),
    "index/source_start": Element(("<i8",)),
    "index/source_length": Element(("<i8",)),
    "index/source_total": Element(("<i8",)),
    "index/input_hash": Element(("<u8",), columns=2),
    "index/stat_hash": Element(("<u8",), columns=2),
    "index/precision": Element(("|u1",)),
    "index/checksum": Element(("<u8",)),
    **pool_elements("report/video"),
    "report/version": Element(("<i4",)),
    "report/frame": Element(("<i4",)),
    **pool_elements("report/reason"),
}

_LABEL_VALUES: Final[Mapping[str, Element]] = {
    "frame": Element(("<i4",)),
    "split": Element(("|i1",)),
    "valence": Element(("<f4",)),
    "valence_is_labelled": Element(("|b1",)),
    "arousal": Element(("<f4",)),
    "arousal_is_labelled": Element(("|b1",)),
    "expression": Element(("|i1",)),
    "expression_is_labelled": Element(("|b1",)),
    "au": Element(("|i1",), columns=N_AUS),
    "au_is_labelled": Element(("|b1",), columns=N_AUS),
}

LABEL_ELEMENTS: Final[Mapping[str, Element]] = {
    **_LABEL_VALUES,
    **pool_elements("index/id"),
    "index/start": Element(("<i8",)),
    "index/length": Element(("<i8",)),
    **{f"rows/{name}": element for name, element in _LABEL_VALUES.items()},
    **pool_elements("rows/path"),
    "rows/video": Element(("<i4",)),
}

ELEMENTS: Final = {EMBEDDINGS: EMBEDDING_ELEMENTS, LABELS: LABEL_ELEMENTS}


def elements_of(attributes: Mapping[str, Any], where: AnyPath) -> Mapping[str, Element]:
    """Return the elements that a store with these root attributes must hold.

    Raises:
        CorruptStoreError: the attributes are not those of a store.
        FormatVersionError: a newer version of this package wrote them.
    """
    try:
        canonical_json(attributes).encode()
    except (TypeError, ValueError) as error:  # bytes that are no text, NaN
        message = f"{where} must have attributes that JSON can hold, but has not: {error}"
        raise CorruptStoreError(message) from error
    kind, version = attributes.get("format"), attributes.get("format_version")
    if not isinstance(kind, str) or kind not in ELEMENTS:
        message = (
            f"{where} must be a store with the attribute format={EMBEDDINGS!r} or {LABELS!r}, but "
            f"it has format={kind!r}; name a store that `abaw extract` or `abaw labels` wrote"
        )
        raise CorruptStoreError(message)
    if not isinstance(version, int) or version < 1:
        message = f"{where} must have a whole format_version of at least 1, but has {version!r}"
        raise CorruptStoreError(message)
    if version > FORMAT_VERSION[kind]:
        message = (
            f"{where} has format version {version}, but this abaw reads versions up to "
            f"{FORMAT_VERSION[kind]}; update abaw"
        )
        raise FormatVersionError(message)
    named = _optional(attributes, where)
    return {
        name: element
        for name, element in ELEMENTS[kind].items()
        if not element.is_optional or name in named
    }


def _optional(attributes: Mapping[str, Any], where: AnyPath) -> set[str]:
    """Return the optional elements that a tree says it holds."""
    text = attributes.get("optional", "[]")
    try:
        names = json.loads(str(text))
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        message = f"{where} must have a JSON list of names as its attribute optional, not {text!r}"
        raise CorruptStoreError(message)
    return set(names)


def pack(texts: Iterable[str]) -> tuple[Array, Array]:
    """Return (bytes uint8, offset int64 of one more than the texts) of a pool of texts."""
    encoded = [text.encode("utf-8", "backslashreplace") for text in texts]
    offset = np.zeros(len(encoded) + 1, "<i8")
    np.cumsum([len(item) for item in encoded], out=offset[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offset


def unpack(arrays: Mapping[str, Array], name: str, where: AnyPath) -> list[str]:
    """Return the texts of the pool `name`.

    Raises:
        CorruptStoreError: the offsets do not cut the bytes into texts, or a text is not UTF-8.
    """
    data, offset = arrays[f"{name}_bytes"], arrays[f"{name}_offset"]
    sound = len(offset) >= 1 and offset[0] == 0 and offset[-1] == len(data)
    if not sound or np.any(np.diff(offset) < 0):
        message = f"{where} must hold rising {name}_offset from 0 to {len(data)}, but it does not"
        raise CorruptStoreError(message)
    raw, cuts = data.tobytes(), offset.tolist()
    try:
        return [raw[a:b].decode() for a, b in pairwise(cuts)]
    except UnicodeDecodeError as error:
        message = f"{where} must hold {name} in UTF-8, but {error}"
        raise CorruptStoreError(message) from error


# An empty, "." or ".." part of a path, in any line of a text.
_UNSAFE_PART = re.compile(r"^\.{0,2}(?:/|$)|/\.{0,2}(?:/|$)", re.MULTILINE)


def check_video_ids(videos: Sequence[str], where: AnyPath) -> None:
    """Raise VideoIdError if any id is unsafe.

    One search over all ids joined answers for 100,000 of them in milliseconds; only if it finds
    something does `check_video_id` look at each, and its word counts.
    """
    joined = "\n".join(videos)
    surely_safe = (
        joined.count("\n") == max(len(videos) - 1, 0)
        and joined.replace("\n", "").isprintable()
        and "\\" not in joined
        and not (videos and _UNSAFE_PART.search(joined))
        and max(map(len, videos), default=0) <= 256  # at most 4 bytes a character
    )
    if not surely_safe:
        for video in videos:
            check_video_id(video, str(where))


def index_checksum(attributes: Mapping[str, Any], arrays: Mapping[str, Array]) -> str:
    """Return the checksum of everything but the rows, 16 hexadecimal digits (XXH3, 64 bits).

    Args:
        attributes: root attributes; `checksum` itself is left out.
        arrays: elements by name, those with one row a frame left out (each index entry has a
            checksum of its rows).
    """
    digest = xxhash.xxh3_64()
    rest = {name: value for name, value in attributes.items() if name != "checksum"}
    digest.update(canonical_json(rest).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def check_index_checksum(
    attributes: Mapping[str, Any], arrays: Mapping[str, Array], where: AnyPath
) -> None:
    """Raise CorruptStoreError unless the stored checksum is that of what was read."""
    found = index_checksum(attributes, arrays)
    if attributes.get("checksum") != found:
        message = (
            f"the index and attributes of {where} must have the checksum "
            f"{attributes.get('checksum')}, but have {found}: something changed the file after it "
            f"was written; restore it from a copy, or remove it and extract again"
        )
        raise CorruptStoreError(message)


def rows_checksum(
    embedding: Iterable[Array], frame: Iterable[Array], time: Iterable[Array] = ()
) -> int:
    """Return the checksum of an index entry's rows: all embeddings, frame numbers, then times.

    Args:
        embedding: pieces of shape (n, D), as stored, in order.
        frame: pieces of shape (n,), int32, in order.
        time: pieces of shape (n,), float64, in order; none if the tree holds no times.
    """
    digest = xxhash.xxh3_64()
    for array in itertools.chain(embedding, frame, time):
        if array.size:
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.intdigest()


def split_hash(value: int) -> tuple[int, int]:
    """Return (low, high) 64 bits of a 128-bit hash.

    >>> split_hash((7 << 64) + 5)
    (5, 7)
    """
    return value & (2**64 - 1), value >> 64


def join_hash(pair: Array) -> int:
    """Return the 128-bit hash of its (low, high) 64 bits."""
    return int(pair[0]) + (int(pair[1]) << 64)
