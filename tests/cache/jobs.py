"""What an extraction does with a writer, and the videos that it has."""

BATCH = 3


def run_job(kit, path, sources, dtype, acknowledge=lambda videos: None):
    """Bring the store to `sources`, whatever is there: only what is missing is added."""
    done = []
    with kit.open_writer(path, kit.make_spec(dtype=dtype)) as writer:
        for n_adds, (source, start, stop, version) in enumerate(work(writer, sources)):
            writer.add(source.video, **source.piece(start, stop, version))
            if stop == source.total:
                done.append(source.video)
            if n_adds % 2:
                writer.flush()
                acknowledge(done)
        writer.flush()
        acknowledge(done)
        writer.compact()
        acknowledge([source.video for source in sources])


def work(writer, sources):
    """Yield (source, start, stop, version) of the batches that the store lacks."""
    for source in sources:
        state, version, gaps = writer.state(source.video), 1, [(0, source.total)]
        if state is not None:
            is_current = all(
                piece.input_hash
                == source.hash(piece.source_start, piece.source_start + piece.source_length)
                for piece in state.pieces
            )
            version = state.version + (0 if is_current else 1)
            gaps = state.missing if is_current else gaps
        for first, last in gaps:
            for start in range(first, last, BATCH):
                yield source, start, min(start + BATCH, last), version


def make_sources(kit, seed=0):
    """Return videos of all kinds: short, long, partly and wholly unreadable."""
    return [
        kit.make_source("long", 8, seed, unreadable=[4]),
        kit.make_source("short", 2),
        kit.make_source("a/nested", 3),
        kit.make_source("unreadable", 2, unreadable=[0, 1]),
    ]


def make_few_sources(kit, seed=0):
    """Return the least that has every kind of write: pieces of a video, a failure, two videos.

    A Zarr tree takes some eighty writes where an HDF5 file takes a dozen, so the larger job would
    be two thousand crashes of nearly a second each.
    """
    return [kit.make_source("long", 5, seed, unreadable=[1]), kit.make_source("short", 1)]
