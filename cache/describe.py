"""What a cache holds, in words and as facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.table import text_table
from .label_table import SPLITS
from .labels import LabelStore
from .locate import list_stores
from .loss import MOST_LOSS
from .object_path import AnyPath
from .store import EmbeddingStore, open_store

_SHOWN_FAILURES = 5
_HEADS = ("store", "videos", "frames", "dim", "type", "size", "parts", "learnt")


@dataclass(frozen=True)
class CacheDescription:
    """Facts about each store of a cache, in order of name."""

    folder: AnyPath
    facts: dict[str, dict[str, Any]]
    """Store name -> what it holds, as JSON can tell it."""

    def text(self) -> str:
        """Return the facts for people to read."""
        if not self.facts:
            return f"{self.folder} holds no store"
        paragraphs = [_paragraph(name, facts) for name, facts in self.facts.items()]
        return "\n\n".join(
            [*(["\n".join(self._table())] if len(paragraphs) > 1 else []), *paragraphs]
        )

    def _table(self) -> list[str]:
        """Return the stores in short, a line each."""
        rows = [_HEADS]
        for name, facts in self.facts.items():
            size = f"{facts['bytes'] / 1e6:,.1f} MB" if "bytes" in facts else ""
            objective = str(facts.get("provenance", {}).get("objective", ""))
            rows.append(
                (
                    name,
                    f"{facts['videos']:,}",
                    f"{facts['frames']:,}",
                    str(facts.get("dim", "")),
                    str(facts.get("dtype", "")),
                    size,
                    str(facts.get("parts", "")),
                    objective or facts["format"],
                )
            )
        return text_table(rows, range(1, 7))


def describe_cache(folder: AnyPath, names: Sequence[str] = ()) -> CacheDescription:
    """Return what the stores of a cache folder hold.

    Args:
        folder: the cache, also one on object storage.
        names: stores to describe; all of them if empty.

    Raises:
        StoreMissingError: there is no store of a given name.
        CorruptStoreError: a store is not what the format says.
    """
    facts = {}
    for name in names or list_stores(folder):
        with open_store(folder / name) as store:
            described = (
                _label_facts(store) if isinstance(store, LabelStore) else _embedding_facts(store)
            )
            facts[name] = described
    return CacheDescription(folder, facts)


def _embedding_facts(store: EmbeddingStore) -> dict[str, Any]:
    return {
        "format": "embeddings",
        "store": store.backend,
        "videos": len(store),
        "frames": store.n_frames,
        "dim": store.dim,
        "dtype": str(store.dtype),
        "bytes": store.n_frames * store.dim * store.dtype.itemsize,
        "parts": store.n_parts,
        "random_weights": store.provenance.get("objective") == "random",
        "loss": store.loss,
        "failures": [failure._asdict() for failure in store.failures],
        "fingerprint": store.fingerprint,
        "spec": {name: getattr(store.spec, name) for name in store.spec.__dataclass_fields__},
        "provenance": store.provenance,
        "run_settings": store.run_settings,
    }


def _label_facts(store: LabelStore) -> dict[str, Any]:
    return {
        "format": "labels",
        "store": store.backend,
        "videos": len(store.videos),
        "frames": len(store.frame),
        "rows": {split: int((store.row_split == code).sum()) for code, split in enumerate(SPLITS)},
        "fingerprint": store.fingerprint,
        "meta": store.meta,
    }


def _paragraph(name: str, facts: dict[str, Any]) -> str:
    head = f"{name}: {facts['videos']:,} videos, {facts['frames']:,} frames"
    lines = [head]
    if facts["format"] == "labels":
        rows = ", ".join(f"{count:,} {split}" for split, count in facts["rows"].items())
        lines.append(f"  labels store ({facts['store']}), rows: {rows}")
    else:
        spec, provenance = facts["spec"], facts["provenance"]
        lines[0] += f" x {facts['dim']} {facts['dtype']} ({facts['bytes'] / 1e6:.1f} MB)"
        if facts["random_weights"]:
            lines.append("  RANDOM WEIGHTS: fit to try the road, not to study affect")
        lines += _loss_lines(facts)
        lines.append(f"  {_made_by(spec)}, {facts['store']}, {facts['parts']} parts not compacted")
        lines.append(f"  weights {spec['weights']}")
        lines += [f"  {key}: {value}" for key, value in sorted(provenance.items())]
        lines += _failure_lines(facts["failures"])
    lines.append(f"  fingerprint {facts['fingerprint']}")
    return "\n".join(lines)


def _loss_lines(facts: dict[str, Any]) -> list[str]:
    loss = facts["loss"]
    if loss is None:
        return []
    text = (
        f"{facts['dtype']} is within {100 * loss['largest']:.2g} % of a dimension's spread "
        f"(dimension {loss['dimension']}), {100 * loss['mean']:.2g} % on average"
    )
    warning = "; WARNING: that is much, use dtype=float32" if loss["largest"] > MOST_LOSS else ""
    return [f"  {text}{warning}"]


def _made_by(spec: dict[str, Any]) -> str:
    """Return what the numbers come from; of an import nothing but how it was read is known."""
    if spec["backbone"].startswith("import:"):
        return ", ".join([spec["backbone"], *(f"{k}={v}" for k, v in spec["options"].items())])
    return (
        f"{spec['backbone']}, {spec['input_size']} px, layer {spec['layer']}, pool {spec['pool']}"
    )


def _failure_lines(failures: list[dict[str, Any]]) -> list[str]:
    shown = [
        f"    {item['video']} frame {item['frame']}: {item['reason']}"
        for item in failures[:_SHOWN_FAILURES]
    ]
    rest = len(failures) - len(shown)
    more = [f"    and {rest} more (--json lists all)"] if rest else []
    return [f"  frames that could not be read: {len(failures)}", *shown, *more] if shown else []
