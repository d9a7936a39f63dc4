"""Errors that a user can cause, in one family.

`cli.main` turns an `AbawError` into one line on stderr and its exit code. Anything else is a bug
and keeps its traceback.
"""


class AbawError(Exception):
    """Something in the data or the files is not as needed; exit code 1.

    The message is one sentence: what was needed, what was found and where, what to do.
    """

    exit_code = 1


class UsageError(AbawError):
    """The command or a setting asks for something that cannot be; exit code 2."""

    exit_code = 2


class NameLookupError(UsageError):
    """A name is not registered; the message lists the nearest ones."""


class FramesError(AbawError):
    """A frame tree is not as needed."""
