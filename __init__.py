"""Facial affect in video: extract face embeddings once, train many temporal models on them.

`abaw.cache.open_store(path)` reads a store of embeddings or labels from Python; everything else
is on the command line, see `abaw --help`.
"""

from importlib.metadata import version

__version__ = version("abaw")
