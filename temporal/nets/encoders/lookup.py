"""From a name to an encoder: registered, a user's file, or an installed package's."""

from ....core.errors import NameLookupError
from ....core.names import near_misses
from ....core.user_code import installed, is_file
from ...config import RunConfig
from .base import ENCODERS, Encoder
from .user import GROUP, encoder_of_entry_point, encoder_of_file

_ANY_F = 8
"""Features that a user's encoder is built for where only its code is asked for."""


def find_encoder(n_features: int, config: RunConfig, layers: int) -> tuple[Encoder, str | None]:
    """Return the encoder that a config names, and what its code is known by.

    A registered name goes before an installed package's.

    Args:
        n_features: F.
        config: its `encoder` is a registered name, `file.py:Class`, or an entry point's; a file is
            run anew by every call.
        layers: how many layers, at least 1.

    Raises:
        NameLookupError: there is none; the message lists the nearest.
        UsageError: a user's own encoder cannot be built or does not give what it should.
    """
    name = config.encoder
    if name in ENCODERS:
        return ENCODERS[name](n_features, config, layers), None
    if is_file(name):
        return encoder_of_file(name, n_features, config, layers)
    others = installed(GROUP)
    if name in others:
        return encoder_of_entry_point(others[name], n_features, config, layers)
    nearest = near_misses(name, [*ENCODERS, *others])
    message = f"there is no encoder {name!r}; {nearest} (or file.py:Class of your own)"
    raise NameLookupError(message)


def encoder_identity(config: RunConfig) -> str | None:
    """Return what the code of a config's encoder is known by; None if it is one of this package.

    For a user's file that is `sha256:<hex>` of it and of the neighbours that it imports, whatever
    folder they are in; for an installed package, its name and version.

    Raises:
        NameLookupError: there is none.
        UsageError: a user's own encoder cannot be built or does not give what it should.
    """
    if config.encoder in ENCODERS:
        return None
    return find_encoder(config.projection or _ANY_F, config, max(1, config.layers))[1]
