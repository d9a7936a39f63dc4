"""A name -> thing table whose lookups answer a typing error with the nearest names."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from .errors import NameLookupError
from .names import near_misses

T = TypeVar("T")


class Registry(Generic[T]):
    """Named things of one kind, in order of registration.

    Args:
        kind: what is registered, in the words of an error message ("backbone").
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that registers what it decorates as `name`."""

        def add(item: T) -> T:
            self.add(name, item)
            return item

        return add

    def add(self, name: str, item: T) -> None:
        """Register `item` as `name`; a name taken twice is a programming error."""
        if name in self._items:
            message = f"{self.kind} {name!r} is registered twice"
            raise ValueError(message)
        self._items[name] = item

    def __getitem__(self, name: str) -> T:
        try:
            return self._items[name]
        except KeyError:
            message = f"there is no {self.kind} {name!r}; {near_misses(name, self._items)}"
            raise NameLookupError(message) from None

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
