"""What can be wrong with a store, as errors that a user can act on."""

from ..core.errors import AbawError


class CacheError(AbawError):
    """A store cannot be opened, read or written as asked."""


class StoreMissingError(CacheError):
    """There is no store at the path; the message lists the stores that are near."""


class StoreExistsError(CacheError):
    """Another store already has the name, in the other backend or with other capital letters."""


class FingerprintError(CacheError):
    """The store holds embeddings of another `EmbeddingSpec`; the message names the fields."""


class StoredTypeError(CacheError):
    """The type that was asked for does not hold the numbers, or loses too much of them."""


class FormatVersionError(CacheError):
    """The store was written by a newer version of this package."""


class LockedError(CacheError):
    """Another process may be compacting the store, and cannot be seen from here."""


class CorruptStoreError(CacheError):
    """The bytes of a store are not what its format says."""


class VideoMissingError(CacheError, KeyError):
    """The store holds no such video."""

    def __str__(self) -> str:  # a KeyError would put the message in quotes
        return str(self.args[0])


class InteropError(CacheError):
    """A file of another program is not of its layout; the message names file and place."""
