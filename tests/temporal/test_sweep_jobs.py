"""How many runs go side by side: what is measured decides, and what a run is stays the same."""

from pathlib import Path

import pytest

from abaw.core.errors import UsageError
from abaw.core.machine import free_memory, usable_cpus
from abaw.temporal import sweep_jobs
from abaw.temporal.sweep_jobs import (
    carried_out,
    choose,
    measured,
    most_jobs,
    parse_jobs,
    threads_each,
)
from abaw.temporal.sweep_plan import PlannedRun
from abaw.temporal.train import planned
from abaw.temporal.trial import Division, TrialRun

from .made import config, write_cache

pytestmark = pytest.mark.heavy


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cache(tmp_path_factory.mktemp("cache"))


def runs(out: Path, n: int, **changes) -> list[PlannedRun]:
    return [PlannedRun(config(seed=seed, **changes), out / str(seed), False) for seed in range(n)]


def test_jobs_are_a_number_or_auto():
    assert parse_jobs("3") == 3
    assert parse_jobs("auto") is None
    for text in ("0", "-1", "many"):
        with pytest.raises(UsageError, match=f"number from 1, or auto, but is '{text}'"):
            parse_jobs(text)


def test_jobs_divide_the_cores_unless_threads_are_asked_for(cache: Path, tmp_path: Path):
    for n in (1, 2, 10**6):
        assert threads_each(n) == min(8, max(1, usable_cpus() // n))
    run = config(threads=3)
    divided = carried_out(run, Division(2, 5), is_asked=False)
    assert divided.threads == 5
    assert carried_out(run, Division(2, 5), is_asked=True) == run
    assert planned(divided, cache, tmp_path) == planned(run, cache, tmp_path)


def test_no_more_jobs_than_runs_cores_and_memory(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert most_jobs(runs(tmp_path, 1), cache, 1) == (1, "no more are left")
    assert most_jobs(runs(tmp_path, 10**4), cache, 10**6)[0] == 1
    free = free_memory()
    assert free is None or 0 < free < 2**50
    monkeypatch.setattr(sweep_jobs, "usable_cpus", lambda: 4)
    monkeypatch.setattr(sweep_jobs, "free_memory", lambda: 1_500 << 20)
    most, why = most_jobs(runs(tmp_path, 9), cache, 1)
    assert most == 2
    assert "2 GB of memory free" in why
    monkeypatch.setattr(sweep_jobs, "free_memory", lambda: None)
    assert most_jobs(runs(tmp_path, 9), cache, 1) == (4, "4 cores")
    assert most_jobs(runs(tmp_path, 9), cache, 2)[0] == 2


def test_a_short_sweep_and_a_single_run_are_not_tried(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(sweep_jobs, "usable_cpus", lambda: 4)
    one = choose(runs(tmp_path, 1), cache, tmp_path, tmp_path / "s", is_asked=False)
    assert one == Division(1, 4)
    few = choose(runs(tmp_path, 9), cache, tmp_path, tmp_path / "s", is_asked=False)
    assert few == Division(4, 1)
    told = capsys.readouterr().err
    assert "--jobs auto: 1 run with 4 threads (no more are left)" in told
    assert "--jobs auto: 4 runs with 1 thread each (about" in told
    assert "are too short for a trial" in told


def test_taking_a_few_steps_changes_nothing_and_tells_about_how_long_a_run_takes(cache: Path):
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    run = TrialRun(config(epochs=40), cache)
    rate = run.steps_per_second(1, 0.2)
    assert torch.equal(torch.rand(3), expected)
    assert rate > 1
    twice = TrialRun(config(epochs=80), cache)
    steps = twice.seconds_of_run(1.0) - twice.seconds_of_run(2.0)
    assert steps == pytest.approx(2 * (run.seconds_of_run(1.0) - run.seconds_of_run(2.0)), rel=0.02)


@pytest.mark.slow
@pytest.mark.heavy
def test_a_long_sweep_is_divided_as_the_measured_steps_say(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.setattr(sweep_jobs, "usable_cpus", lambda: 2)
    todo = runs(tmp_path, 4, epochs=10**5)
    share = tmp_path / "shared"
    chosen = choose(todo, cache, tmp_path, share, is_asked=False)
    told = capsys.readouterr().err
    assert "1 run with 2 threads " in told
    assert "2 runs with 1 thread each " in told
    assert chosen in (Division(1, 2), Division(2, 1))
    assert len(list(share.glob("*.f32"))) == 1  # the training split, once
    rates = measured(todo[0].config, cache, [Division(1, 1), Division(2, 1)], share)
    assert all(rate > 1 for rate in rates)


def test_the_quickest_division_is_taken_with_the_last_round_counted(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sweep_jobs, "usable_cpus", lambda: 4)
    monkeypatch.setattr(sweep_jobs, "free_memory", lambda: None)
    for n_runs, rates, expected in (
        (8, [10.0, 19.0, 30.0], Division(4, 1)),
        (8, [30.0, 19.0, 20.0], Division(1, 4)),
        (5, [10.0, 19.0, 20.0], Division(2, 2)),  # 4 at a time would need two rounds of 4
    ):
        monkeypatch.setattr(sweep_jobs, "measured", lambda *_, found=rates: found)
        todo = runs(tmp_path, n_runs, epochs=10**5)
        assert choose(todo, cache, tmp_path, tmp_path / "s", is_asked=False) == expected


@pytest.mark.heavy
def test_a_trial_that_fails_says_why(cache: Path, tmp_path: Path):
    refused = config(max_missing=0.0)
    found = measured(refused, cache, [Division(1, 2), Division(2, 1)], tmp_path / "shared")
    assert isinstance(found, str)
    assert "lack" in found
