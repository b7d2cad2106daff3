"""What a run tells of its progress, from durations that were measured and from nothing else."""

from __future__ import annotations

import logging
from enum import Enum
from types import SimpleNamespace
from typing import Any

import pytest

from lengthlens.workflow.progress import Progress, Task, duration, tell_progress


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def ran(progress: Progress, clock: Clock, job: int, seconds: float) -> str:
    """One job after the others."""
    progress.start([job])
    clock.seconds += seconds
    return progress.finish(job)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (89, "89 s"), (150, "2 min"), (5340, "89 min"), (7900, "2 h 10 min"),
     (10800, "3 h")],
)  # fmt: skip
def test_durations_are_told_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_without_a_measured_duration_only_jobs_are_counted() -> None:
    clock = Clock()
    tasks = {0: Task("a", "one"), 1: Task("b", "two", forecast=10)}
    progress = Progress(tasks, ["one", "two"], clock)
    assert ran(progress, clock, 0, 30) == "a took 30 s; job 1 of 2, stage 2 of 2 (two)"
    assert ran(progress, clock, 1, 300) == "b took 5 min; job 2 of 2"
    assert progress.finish(7) == ""


def test_the_same_job_of_an_earlier_run_tells_how_long_it_takes() -> None:
    clock = Clock()
    tasks = {0: Task("a", "one", 60.0), 1: Task("b", "two", 600.0)}
    progress = Progress(tasks, ["none", "one", "two"], clock)
    assert ran(progress, clock, 0, 30).endswith("stage 2 of 2 (two); about 10 min left (estimate)")


def test_jobs_of_one_rule_take_as_long_and_run_beside_each_other_as_before() -> None:
    """Two at a time, 40 s each: two more take 40 s in all."""
    clock = Clock()
    progress = Progress({n: Task("a", "one") for n in range(4)}, ["one"], clock)
    progress.start([0, 1])
    clock.seconds = 40
    progress.finish(0)
    assert progress.finish(1).endswith("stage 1 of 1 (one); about 40 s left (estimate)")
    progress.start([2, 3])
    clock.seconds = 70
    assert progress.seconds_left() == (pytest.approx(10), "")


def test_forecasts_are_scaled_by_what_jobs_took_and_called_rough() -> None:
    clock = Clock()
    tasks = {0: Task("a", "one", forecast=10), 1: Task("b", "one", forecast=40)}
    progress = Progress(tasks, ["one"], clock)
    assert ran(progress, clock, 0, 30).endswith("about 2 min left (rough estimate)")
    many = {n: Task(f"rule {n}", "one") for n in range(11)}
    progress = Progress(many, ["one"], clock)
    assert "left" not in ran(progress, clock, 0, 1)  # less than a tenth of the jobs
    assert "left (rough estimate)" in ran(progress, clock, 1, 1)


class Event(Enum):
    JOB_STARTED, JOB_FINISHED = range(2)


def rule(name: str, file: str, output: tuple[str, ...]) -> SimpleNamespace:
    return SimpleNamespace(name=name, snakefile=f"rules/{file}.smk", output=output)


def workflow(quiet: Any = None) -> SimpleNamespace:
    """As much of Snakemake's workflow as is asked: two jobs, of which one was run before."""
    rules = [rule("all", "Snakefile", ()), rule("b", "two", ("y",)), rule("a", "one", ("x",))]
    jobs = [
        SimpleNamespace(rule=each, output=each.output, resources={"runtime": "unknown"})
        for each in rules
    ]
    records = {"x": SimpleNamespace(starttime=5.0, endtime=605.0)}
    return SimpleNamespace(
        rules=rules,
        output_settings=SimpleNamespace(quiet=quiet),
        dag=SimpleNamespace(needrun_jobs=lambda: iter(jobs), jobid=jobs.index),
        persistence=SimpleNamespace(metadata=records.get),
    )


def test_a_line_follows_each_job_of_a_run(caplog) -> None:
    logger = logging.getLogger("a run")
    with caplog.at_level(logging.INFO, logger="a run"):
        for _ in range(2):  # a second run in this process does not tell twice
            tell_progress(workflow(), logger)
        logger.info("", extra={"event": Event.JOB_STARTED, "jobs": [1]})
        logger.info("", extra={"event": Event.JOB_FINISHED, "job_id": 1})
    [told] = [record.getMessage() for record in caplog.records if record.getMessage()]
    assert told.startswith("b took 1 s; job 1 of 2, stage 2 of 2 (one); about ")
    assert told.endswith(" left (estimate)")


def test_a_quiet_run_tells_nothing(caplog) -> None:
    logger = logging.getLogger("a quiet run")
    tell_progress(workflow([SimpleNamespace(name="PROGRESS")]), logger)
    assert logger.handlers == []
