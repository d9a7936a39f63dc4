"""What a sweep shows while it runs: a line for each run under way, and one for all of them.

On a terminal lines are drawn over; elsewhere each run that ends is one plain line.
"""

import sys
import time
from types import TracebackType
from typing import Any, Final, Self

from tqdm import tqdm

from .fitting import EpochReport
from .metrics import figure

_LONGEST_NAME: Final = 44


class SweepDisplay:
    """Draws a sweep on stderr.

    Args:
        n_runs: in all.
        n_done: of them, before it begins.
        jobs: side by side.
        progress: False shows failures and what `write` is given only.
    """

    def __init__(self, n_runs: int, n_done: int, jobs: int, *, progress: bool) -> None:
        self._jobs, self._progress = jobs, progress
        self._is_terminal = progress and sys.stderr.isatty()
        self._n_runs, self._n_done, self._n_failed = n_runs, n_done, 0
        self._best: float | None = None
        self._active: dict[str, tuple[EpochReport, float]] = {}
        """Name of a run under way -> what it told last, and when."""
        self._places: dict[str, int] = {}
        self._lines: dict[str, Any] = {}
        self._seconds: list[float] = []
        """Of the runs that ended here."""
        self._total: Any = self._bar(n_runs, 0, "sweep", n_done, "run")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for line in self._lines.values():
            line.close()
        self._total.close()

    def told(self, name: str, report: EpochReport) -> None:
        """Show what a run tells."""
        self._active[name] = report, time.monotonic()
        if not self._is_terminal:
            return
        if name not in self._lines:
            taken = set(self._places.values())
            self._places[name] = next(n for n in range(1, self._n_runs + 2) if n not in taken)
            self._lines[name] = self._bar(
                report.n_epochs, self._places[name], _short(name), 0, "epoch"
            )
        line = self._lines[name]
        line.n = report.epoch
        value = ""
        if report.value is not None:
            value = f"P_MTL {report.value:.3f} best {figure(report.best, 3)}, "
        line.set_postfix_str(f"{value}{_time(_left(report))} left", refresh=True)
        self._draw_total()

    def ended(self, name: str, score: float | None, seconds: float) -> None:
        """Show that a run is done."""
        self._seconds.append(seconds)
        self._n_done += 1
        if score is not None:
            self._best = score if self._best is None else max(self._best, score)
        self._leave(name)
        if self._progress:
            self.write(f"{name}: P_MTL {figure(score, 3)}, {seconds:.0f} s ({self._summary()})")

    def failed(self, name: str, error: str) -> None:
        """Show that a run has failed."""
        self._n_failed += 1
        self._leave(name)
        self.write(f"{name}: {error}")

    def write(self, text: str) -> None:
        """Write a line above all that is drawn over."""
        tqdm.write(text, file=sys.stderr)

    def _leave(self, name: str) -> None:
        self._active.pop(name, None)
        self._places.pop(name, None)
        line = self._lines.pop(name, None)
        if line is not None:
            line.close()
        self._draw_total()

    def _draw_total(self) -> None:
        if self._is_terminal:
            self._total.n = self._n_done + self._n_failed
            self._total.set_postfix_str(self._summary(is_counted=False), refresh=True)

    def _summary(self, *, is_counted: bool = True) -> str:
        parts = [f"{self._n_done + self._n_failed} of {self._n_runs}"] if is_counted else []
        if self._best is not None and not is_counted:
            parts.append(f"best {self._best:.3f}")
        if self._n_failed:
            parts.append(f"{self._n_failed} failed")
        left = self._seconds_left()
        if left is not None:
            parts.append(f"{_time(left)} left")
        return ", ".join(parts)

    def _seconds_left(self) -> float | None:
        """Return about how long all takes yet; None before anything is known."""
        now = time.monotonic()
        whole = [report.seconds / report.epoch * report.n_epochs for report, _ in self._whole()]
        known = [*self._seconds, *whole]
        n_left = self._n_runs - self._n_done - self._n_failed
        if not n_left:
            return 0.0
        if not known:
            return None
        mean = sum(known) / len(known)
        active = [max(0.0, _left(report) - (now - then)) for report, then in self._whole()]
        waiting = max(0, n_left - len(active))
        return max((sum(active) + waiting * mean) / self._jobs, max(active, default=0.0))

    def _whole(self) -> list[tuple[EpochReport, float]]:
        return list(self._active.values())

    def _bar(self, total: int, place: int, name: str, n: int, unit: str) -> Any:  # noqa: ANN401
        return tqdm(
            total=total,
            initial=n,
            position=place,
            desc=name,
            unit=unit,
            leave=place == 0,
            dynamic_ncols=True,
            disable=not self._is_terminal,
            bar_format="{desc}: {n_fmt}/{total_fmt} {unit}s |{bar:12}| {elapsed}{postfix}",
            file=sys.stderr,
        )


def _left(report: EpochReport) -> float:
    """Return about how many seconds a run takes yet, without what follows its last epoch."""
    return report.seconds / report.epoch * (report.n_epochs - report.epoch)


def _time(seconds: float) -> str:
    return str(tqdm.format_interval(round(seconds)))


def _short(name: str) -> str:
    """Return a name that fits into a line; its end, with seed and identity, tells runs apart."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
