"""What was made of an ensemble, for people to read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..core.table import text_table
from ..core.tasks import TASKS
from .ensemble_file import ENSEMBLE_FILE
from .metrics import figure

_KEYS: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")


@dataclass(frozen=True)
class EnsembleResult:
    """An ensemble that was written."""

    folder: Path
    facts: dict[str, Any]
    """What `ensemble.json` holds."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Folders of runs that were found, but take no part -> why."""
    code: dict[str, str] = field(default_factory=dict)
    """Own encoders of copied runs -> what their code, which is not copied, is known by."""

    def text(self) -> str:
        """Return members, weights and scores for people to read."""
        rows = [(member["name"], *_figures(member["scores"])) for member in self.facts["members"]]
        best = self.facts["best"]
        names = {
            "equal": "equal mean" if best is None else f"equal mean of all {best['of']}",
            "equal_nested": "equal mean, post-processed, nested",
            "nested_raw": "ensemble, not post-processed, nested",
            "in_sample": "ensemble, in-sample",
            "nested": "ensemble, nested",
        }
        rows += [(text, *_figures(self.facts["scores"][key])) for key, text in names.items()]
        lines = text_table([("", *_KEYS), *rows], range(1, len(_KEYS) + 1))
        tasks = [task for task in TASKS if task in self.facts["members"][0]["weights"]]
        shares = [
            (member["name"], *(f"{member['weights'][task]:.3f}" for task in tasks))
            for member in self.facts["members"]
        ]
        lines += ["", *text_table([("weights", *tasks), *shares], range(1, len(tasks) + 1))]
        lines += ["", self.facts["nested"]["note"]]
        if best is not None:
            lines.append(best["note"])
        if self.facts["random_weights"]:
            lines.append(
                "RANDOM WEIGHTS: some embeddings come from networks that have learnt nothing"
            )
        lines += [f"left out: {folder}: {reason}" for folder, reason in self.left_out.items()]
        lines += [
            f"not copied: the code of the encoder {name} ({known_by}); where the ensemble predicts "
            f"it must be there, the same"
            for name, known_by in self.code.items()
        ]
        lines.append(f"wrote {self.folder / ENSEMBLE_FILE}{self._place()}")
        return "\n".join(lines)

    def _place(self) -> str:
        runs = [run for member in self.facts["members"] for run in member["runs"]]
        if not self.facts["copied"]:
            return ", which needs its runs where they are"
        n = sum(run["folder"] is not None for run in runs)
        return f" and copies of the {n} runs that count"


def _figures(scores: dict[str, Any]) -> list[str]:
    return [figure(scores[key], 3) for key in _KEYS]
