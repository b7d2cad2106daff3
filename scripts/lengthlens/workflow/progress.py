"""What a run tells while it is going on: how long a job took, its stage, and how long is left.

The time that is left is an estimate from durations that were measured: of the same job in an
earlier run, else of this run's jobs of the same rule, else of this run's jobs of the same kind
(jobs that ask for a time by a forecast, scaled by it, and all others). The last is called rough,
and told once a tenth of the jobs has ended. Where no duration is known, jobs are only counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MINUTE, HOUR = 60.0, 3600.0
FEWEST = 0.1  # of the jobs, before a rough estimate is told


@dataclass(frozen=True)
class Task:
    """A job that is to be run.

    Attributes:
        rule: its rule; stage: the part of the study that the rule belongs to.
        before: how long the same job took in an earlier run, None if there was none. [seconds]
        forecast: the time that it asks for, None if it asks for none. [minutes]
    """

    rule: str
    stage: str
    before: float | None = None
    forecast: float | None = None


class Progress:
    """The jobs of a run, and what is known of their durations.

    Args:
        tasks: all jobs that are to be run, by their id.
        stages: their stages, in order.
        now: a clock. [seconds]
    """

    def __init__(
        self,
        tasks: Mapping[int, Task],
        stages: Iterable[str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tasks, self._now, self._begun = dict(tasks), now, now()
        needed = {task.stage for task in tasks.values()}
        self._stages = [stage for stage in stages if stage in needed]
        self._running: dict[int, float] = {}
        self._took: dict[int, float] = {}

    def start(self, jobs: Iterable[int]) -> None:
        """Note that jobs were started."""
        self._running |= dict.fromkeys(jobs, self._now())

    def finish(self, job: int) -> str:
        """Note that a job has ended, and say so; empty for a job that is not known."""
        if job not in self._tasks or job not in self._running:
            return ""
        took = self._took[job] = self._now() - self._running.pop(job)
        to_come = {task.stage for key, task in self._tasks.items() if key not in self._took}
        told = f"{self._tasks[job].rule} took {duration(took)}; "
        told += f"job {len(self._took)} of {len(self._tasks)}"
        if coming := [stage for stage in self._stages if stage in to_come]:
            place = self._stages.index(coming[0]) + 1
            told += f", stage {place} of {len(self._stages)} ({coming[0]})"
        left, rough = self.seconds_left()
        return told + f"; about {duration(left)} left ({rough}estimate)" * bool(left)

    def seconds_left(self) -> tuple[float, str]:
        """An estimate, and "rough " where it is; 0 where none can be given, or no job is left."""
        work, now, known = 0.0, self._now(), True
        for key, task in self._tasks.items():
            if key in self._took:
                continue
            expected, of_this = self._expected(task)
            if expected is None:
                return 0.0, ""
            known &= of_this
            work += max(expected - (now - self._running.get(key, now)), 0.0)
        done = sum(self._took.values()) + sum(now - begun for begun in self._running.values())
        if not done or not (known or len(self._took) >= FEWEST * len(self._tasks)):
            return 0.0, ""
        beside = done / (now - self._begun)  # jobs go on beside each other as they did so far
        return work / beside, "" if known else "rough "

    def _expected(self, task: Task) -> tuple[float | None, bool]:
        """How long a job should take, and whether that was measured of the job or of its rule."""
        if task.before is not None:
            return task.before, True
        ended = [(self._tasks[key], took) for key, took in self._took.items()]
        same = [took for other, took in ended if other.rule == task.rule]
        if same:
            return sum(same) / len(same), True
        kind = [
            (other.forecast or 1.0, took)
            for other, took in ended
            if (other.forecast is None) == (task.forecast is None)
        ]
        if not kind:
            return None, False
        scale = sum(took for _, took in kind) / sum(forecast for forecast, _ in kind)
        return scale * (task.forecast or 1.0), False


def duration(seconds: float) -> str:
    """In words, no more exactly than matters: "8 s", "3 min", "2 h 10 min"."""
    if seconds < 1.5 * MINUTE:
        return f"{max(round(seconds), 1)} s"
    if seconds < 1.5 * HOUR:
        return f"{round(seconds / MINUTE)} min"
    tens = round(seconds / (10 * MINUTE))
    return f"{tens // 6} h" + f" {10 * (tens % 6)} min" * bool(tens % 6)


class Teller(logging.Handler):
    """Follows a run by what Snakemake logs, and adds a line to the log for each job that ended."""

    def __init__(self, progress: Progress, logger: logging.Logger) -> None:
        super().__init__()
        self._progress, self._logger = progress, logger

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(getattr(record, "event", None), "name", "")
        if event == "JOB_STARTED":
            self._progress.start(record.jobs)
        elif event == "JOB_FINISHED" and (told := self._progress.finish(record.job_id)):
            self._logger.info(told)


def tell_progress(workflow: Any, logger: logging.Logger) -> None:
    """Let a Snakemake workflow, whose jobs are about to start, tell its progress.

    Stages are the files that rules stand in, in the order in which they are included. Nothing is
    told where Snakemake is asked to be quiet about its progress.
    """
    quiet = {getattr(each, "name", each) for each in workflow.output_settings.quiet or ()}
    for old in [handler for handler in logger.handlers if isinstance(handler, Teller)]:
        logger.removeHandler(old)  # of an earlier run in this process
    if quiet & {"PROGRESS", "ALL"}:
        return
    jobs = [job for job in workflow.dag.needrun_jobs() if job.output]  # others are targets
    tasks = {
        workflow.dag.jobid(job): Task(
            rule=job.rule.name,
            stage=Path(str(job.rule.snakefile)).stem,
            before=_before(workflow.persistence, job),
            forecast=_forecast(job),
        )
        for job in jobs
    }
    making = [rule for rule in workflow.rules if rule.output]
    stages = dict.fromkeys(Path(str(rule.snakefile)).stem for rule in making)
    logger.addHandler(Teller(Progress(tasks, stages), logger))


def _before(persistence: Any, job: Any) -> float | None:
    """How long a job took when its first output was made. [seconds]"""
    known = persistence.metadata(job.output[0])
    if known is None or known.starttime is None or known.endtime is None:
        return None
    return max(known.endtime - known.starttime, 0.0)


def _forecast(job: Any) -> float | None:
    asked = job.resources.get("runtime")
    return float(asked) if isinstance(asked, int | float) else None
