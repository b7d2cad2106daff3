"""Jobs that run side by side get different GPUs, and give them back however they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lengthlens.workflow.gpus import machine_gpus, visible_gpus

SCRIPTS = Path(__file__).parents[2] / "scripts"
PROGRAM = """
import sys
from pathlib import Path
from lengthlens.workflow.gpus import claim_gpu
print(claim_gpu(Path(sys.argv[1]), wait=0.05, count=int(sys.argv[2])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a process that claims a GPU and keeps it until its input ends."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    started = []

    def claim(count: int = 1, **environment) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path), str(count)],
            env=os.environ | {"PYTHONPATH": str(SCRIPTS)} | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield claim
    for process in started:
        process.kill()
        process.communicate()


def test_every_job_has_its_own_and_a_killed_one_gives_it_back(start):
    first, second = (start(CUDA_VISIBLE_DEVICES="2,5") for _ in range(2))
    taken = {first.stdout.readline().strip(), second.stdout.readline().strip()}
    assert taken == {"2", "5"}
    third = start(CUDA_VISIBLE_DEVICES="2,5")
    assert "All GPUs (2, 5) are in use" in third.stderr.readline()
    first.send_signal(signal.SIGKILL)
    assert third.stdout.readline().strip() in taken


SHORT_JOB = """
import os, signal, sys, time
from pathlib import Path
from lengthlens.workflow.gpus import claim_gpu
gpus = claim_gpu(Path(sys.argv[1]), wait=0.02, count=int(sys.argv[2])).split(",")
for gpu in gpus:  # fails where another job has it
    os.close(os.open(f"{sys.argv[1]}/in-use-{gpu}", os.O_CREAT | os.O_EXCL))
time.sleep(0.1)
for gpu in gpus:
    os.unlink(f"{sys.argv[1]}/in-use-{gpu}")
if sys.argv[3] == "die":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_many_jobs_at_once_never_share_a_gpu(tmp_path, monkeypatch):
    """Twelve jobs over three GPUs, some of which take two and some of which are killed."""
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    environment = os.environ | {"PYTHONPATH": str(SCRIPTS), "CUDA_VISIBLE_DEVICES": "0,1,2"}
    jobs = []
    for number in range(12):
        words = [str(tmp_path), str(1 + number % 2), "die" if number % 3 == 0 else "end"]
        jobs.append(
            subprocess.Popen(
                [sys.executable, "-c", SHORT_JOB, *words],
                env=environment,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    for number, job in enumerate(jobs):
        _, errors = job.communicate(timeout=120)
        assert job.returncode == (-signal.SIGKILL if number % 3 == 0 else 0), errors


def test_a_job_that_needs_several_waits_for_all_of_them(start):
    """It keeps none while it waits, and takes no more than there are."""
    single = start(CUDA_VISIBLE_DEVICES="0,1,2")
    assert single.stdout.readline().strip() == "0"
    whole = start(9, CUDA_VISIBLE_DEVICES="0,1,2")
    assert "All GPUs (0, 1, 2) are in use" in whole.stderr.readline()
    pair = start(2, CUDA_VISIBLE_DEVICES="0,1,2")
    assert pair.stdout.readline().strip() == "1,2"
    for process in (single, pair):
        process.send_signal(signal.SIGKILL)
    assert whole.stdout.readline().strip() == "0,1,2"


@pytest.mark.parametrize(
    "environment",
    [
        {"CUDA_VISIBLE_DEVICES": "3"},
        {"CUDA_VISIBLE_DEVICES": ""},
        {"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_ID": "7"},
    ],
    ids=["one", "none", "slurm"],
)
def test_where_there_is_nothing_to_choose(start, environment):
    assert start(**environment).stdout.readline().strip() == "None"


def test_gpus_are_found_by_their_devices(tmp_path, monkeypatch):
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert machine_gpus(tmp_path) == ["2", "10"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 4")
    assert visible_gpus() == ["1", "4"]
