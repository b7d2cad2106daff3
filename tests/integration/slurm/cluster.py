"""A Slurm of one node on this machine: Debian's packages, their daemons, a stand-in for a GPU.

The node has two cores, and `/dev/null` as its one GPU: Slurm hands it out to one job at a time, as
it would a real one. There is no accounting, as on many small clusters.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
CONFIGURATION = Path("/etc/slurm/slurm.conf")  # job steps look nowhere else
OURS = "# Written by the tests of lengthlens"
SLURM_CONF = """{ours}
ClusterName=lengthlens
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
SlurmdParameters=config_overrides
MinJobAge=300
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 Gres=gpu:1
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Slurm:
    """The running daemons."""

    folder: Path
    daemons: dict[str, subprocess.Popen]

    def start(self, name: str, *command: str, user: str = "root") -> None:
        with (self.folder / f"{name}.out").open("a") as log:
            self.daemons[name] = subprocess.Popen(
                command, stdout=log, stderr=log, user=user, group=user, extra_groups=[]
            )

    def start_node(self) -> None:
        self.start("slurmd", "slurmd", "-D", "-N", "localhost")

    def kill_node(self) -> None:
        """kill -9 of the node's daemon; its jobs go on without it."""
        self.daemons["slurmd"].kill()
        self.daemons["slurmd"].wait()

    def queue(self) -> list[str]:
        """The rules of the jobs that wait or run, as Snakemake's plugin notes them."""
        words = ["squeue", "--noheader", "--format", "%k"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()

    def cancel(self) -> None:
        """Cancel all jobs."""
        subprocess.run(["scancel", "--user", "root"], capture_output=True, timeout=60)

    def stop(self) -> None:
        """End all jobs, then all daemons: Munge last, for the others talk through it."""
        with contextlib.suppress(subprocess.SubprocessError, AssertionError):
            self.cancel()
            self.wait_until_idle(30)
        for daemon in reversed(self.daemons.values()):
            daemon.terminate()
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def wait_until_idle(self, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while self.queue():
            assert time.monotonic() < end, (
                f"jobs are still there after {seconds:g} s: {self.queue()}"
            )
            time.sleep(1)


@contextlib.contextmanager
def running_slurm(folder: Path) -> Iterator[Slurm]:
    """Install what is missing and run Slurm in the block; skip the test where that cannot be."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("a Slurm of our own needs root and apt")
    if CONFIGURATION.exists() and OURS not in CONFIGURATION.read_text():
        pytest.skip(f"this machine has a Slurm already ({CONFIGURATION}); it is left alone")
    _install()
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    CONFIGURATION.parent.mkdir(exist_ok=True)
    text = SLURM_CONF.format(ours=OURS, host=os.uname().nodename.split(".")[0], folder=folder)
    CONFIGURATION.write_text(text)
    devices = CONFIGURATION.with_name("gres.conf")
    devices.write_text("Name=gpu File=/dev/null\n")
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    slurm = Slurm(folder, {})
    try:
        if not _munge_answers():  # else its package has started it
            slurm.start("munged", "munged", "--foreground", "--force", user="munge")
            _wait_until(_munge_answers, slurm, "munged does not answer")
        slurm.start("slurmctld", "slurmctld", "-D")
        slurm.start_node()
        _wait_until(lambda: _node_state() == "idle", slurm, "the node did not come up")
        yield slurm
    finally:
        slurm.stop()
        CONFIGURATION.unlink()
        devices.unlink()


def _install() -> None:
    if all(shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "munged")):
        return
    quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True}
    subprocess.run(["apt-get", "update"], **quiet, timeout=300)
    words = ["apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES]
    done = subprocess.run(words, **quiet, text=True, timeout=300)
    if done.returncode:
        pytest.skip(f"apt cannot install {', '.join(PACKAGES)}: {done.stderr.strip()[-300:]}")


def _munge_answers() -> bool:
    return subprocess.run(["munge", "--no-input"], capture_output=True).returncode == 0


def _node_state() -> str:
    words = ["sinfo", "--noheader", "--format", "%T"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def _wait_until(condition: Callable[[], bool], slurm: Slurm, problem: str) -> None:
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            logs = [*slurm.folder.glob("*.log"), *slurm.folder.glob("*.out")]
            pytest.fail(f"{problem}:\n{''.join(path.read_text()[-1500:] for path in logs)}")
        time.sleep(0.5)
