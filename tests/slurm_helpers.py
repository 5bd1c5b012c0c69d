"""A Slurm of one node on this machine, with two GPUs that are none, for tests/test_slurm.py."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = {"munged": "munge", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm"}
FOLDER = Path(tempfile.gettempdir()) / "patchwise-slurm"
# The plugin clears SLURM_CONF: the settings must lie where Slurm looks without it.
SETTINGS = Path("/etc/slurm")
MARK = "# Written by Patchwise's test, which removes it."
CLUSTER = "patchwise"
CORES = max(8, os.cpu_count() or 1)
"""What the node says that it has; it need not have so many, nor so much memory."""
CONF = f"""{MARK}
ClusterName={CLUSTER}
SlurmctldHost={socket.gethostname()}
SlurmUser=root
AuthInfo=socket={FOLDER}/munge.socket,cred_expire=10
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
GresTypes=gpu
SlurmdParameters=config_overrides
StateSaveLocation={FOLDER}/state
SlurmdSpoolDir={FOLDER}/spool
SlurmctldPidFile={FOLDER}/slurmctld.pid
SlurmctldLogFile={FOLDER}/slurmctld.log
SlurmdPidFile={FOLDER}/slurmd.pid
SlurmdLogFile={FOLDER}/slurmd.log
SlurmdTimeout=10
ReturnToService=2
MinJobAge=7200
MailProg=/bin/true
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
NodeName={socket.gethostname()} CPUs={CORES} RealMemory=128000 Gres=gpu:2
PartitionName=all Nodes=ALL Default=YES
"""
# Devices that every Linux has; nothing is done with them.
GRES = f"{MARK}\nName=gpu File=/dev/null\nName=gpu File=/dev/zero\n"


def lacks() -> str:
    """Why no Slurm can be started here, or nothing."""
    if os.getuid() != 0:
        return "a Slurm is started by root"
    packages = {package for program, package in PROGRAMS.items() if not shutil.which(program)}
    if packages:
        return f"a Slurm is missing here: apt-get install {' '.join(sorted(packages))}"
    ours = {pid for name in PROGRAMS if (pid := _pid(name))}
    for process in psutil.process_iter(["name"]):
        if process.info["name"] in ("slurmctld", "slurmd") and process.pid not in ours:
            return f"a Slurm runs here already: {process.info['name']}, process {process.pid}"
    return ""


def start() -> None:
    """Starts munge, Slurm's controller and the node, with settings of their own."""
    stop()  # what a test left that was killed
    FOLDER.mkdir(mode=0o755)
    (FOLDER / "state").mkdir()
    (FOLDER / "munge.key").write_bytes(os.urandom(128))
    (FOLDER / "munge.key").chmod(0o600)
    SETTINGS.mkdir(exist_ok=True)
    for name, content in (("slurm.conf", CONF), ("gres.conf", GRES)):
        with suppress(FileNotFoundError):
            (SETTINGS / name).rename(SETTINGS / f"{name}.kept")
        (SETTINGS / name).write_text(content, "utf-8")
    flags = {"key-file": "munge.key", "socket": "munge.socket", "seed-file": "munge.seed"}
    flags |= {"pid-file": "munged.pid", "log-file": "munged.log"}
    _run("munged", "--force", *(f"--{flag}={FOLDER / file}" for flag, file in flags.items()))
    _run("slurmctld")
    start_node()


def start_node() -> None:
    """Starts the node, which may have died, and waits until it takes jobs."""
    _run("slurmd")
    wait(lambda: node() in ("idle", "mixed", "allocated"), "the node takes no jobs")


def on_node() -> list[psutil.Process]:
    """The processes of Slurm's jobs, and those that watch over them."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            ours = process.environ().get("SLURM_CLUSTER_NAME") == CLUSTER
            if ours or process.name() == "slurmstepd":
                found.append(process)
    return found


def kill_node() -> None:
    """Ends the node as a loss of power would: itself, and all that runs on it."""
    victims = [*(psutil.Process(pid) for pid in [_pid("slurmd")] if pid), *on_node()]
    for process in victims:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(victims, timeout=10)


def stop() -> None:
    """Stops what `start` started and puts back the settings that were there."""
    kill_node()
    for name in ("slurmctld", "munged"):
        if pid := _pid(name):
            os.kill(pid, signal.SIGTERM)
            wait(lambda name=name: not _pid(name), f"{name} does not end")
    for name in ("slurm.conf", "gres.conf"):
        file, kept = SETTINGS / name, SETTINGS / f"{name}.kept"
        if file.is_file() and file.read_text("utf-8").startswith(MARK):
            file.unlink()
        if kept.exists() and not file.exists():
            kept.rename(file)
    shutil.rmtree(FOLDER, ignore_errors=True)


def node() -> str:
    """The node's state."""
    return _run("sinfo", "--noheader", "--format=%T").strip()


def jobs() -> dict[str, dict[str, str]]:
    """What Slurm says of each job, by its number."""
    lines = _run("scontrol", "show", "job", "--oneliner").splitlines()
    said = [dict(part.split("=", 1) for part in line.split() if "=" in part) for line in lines]
    return {job["JobId"]: job for job in said if "JobId" in job}


def wait(until: Callable[[], object], otherwise: str, seconds: float = 300) -> object:
    """What `until` gives once it is true; an AssertionError that says `otherwise` if not."""
    deadline = time.monotonic() + seconds
    while not (value := until()):
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)
    return value


def _pid(name: str) -> int:
    """The number of a process that `start` started, 0 if it does not run."""
    with suppress(OSError, ValueError, psutil.NoSuchProcess):
        process = psutil.Process(int((FOLDER / f"{name}.pid").read_text()))
        if process.name() == name and process.status() != psutil.STATUS_ZOMBIE:
            return process.pid
    return 0


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout
