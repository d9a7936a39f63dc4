"""From a name to a backbone: registered, timm's, a user's file, or an installed package's."""

from ...core.errors import NameLookupError
from ...core.names import near_misses
from ...core.user_code import installed, is_file
from .kinds import BACKBONES, BackboneKind
from .timm_any import PREFIX, timm_kind
from .user_module import GROUP, kind_of_entry_point, kind_of_file


def find_kind(name: str, weights: str) -> BackboneKind:
    """Return the backbone of a name; a user's own module is made anew by every call.

    A registered name goes before an installed package's.

    Args:
        name: registered, `timm/NAME`, `file.py:factory`, or an entry point's.
        weights: as in a request; a user's module is made under the seed of `random:SEED`.

    Raises:
        NameLookupError: there is none; the message lists the nearest.
        UsageError: a user's own module cannot be made.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    if name.startswith(PREFIX):
        return timm_kind(name)
    if is_file(name):
        return kind_of_file(name, weights)
    others = installed(GROUP)
    if name in others:
        return kind_of_entry_point(others[name], weights)
    nearest = near_misses(name, [*BACKBONES, *others])
    import timm

    if timm.is_model(name.partition(".")[0]):
        nearest = f"write {PREFIX}{name} for timm's network of that name"
    message = f"there is no backbone {name!r}; {nearest}"
    raise NameLookupError(message)
