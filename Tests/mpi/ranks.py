"""Starts ranks by mpirun, with a time limit after which all of them are ended."""

import os
import pathlib
import shutil
import signal
import subprocess

from support import BUILD

PLUGIN = BUILD / "lib/libdpo-mpi.so"
#: Seconds; far above what any test needs.
LIMIT = 240


def open_mpi() -> "str | None":
    """Open MPI's mpirun, also where MPICH's is the default."""
    for name in ("mpirun.openmpi", "mpirun"):
        path = shutil.which(name)
        if path and "Open MPI" in subprocess.run([path, "--version"], capture_output=True, text=True).stdout:
            return path
    return None


MPIRUN = open_mpi()
#: Why these tests cannot run, or None.
MISSING = (
    "there is no mpirun of Open MPI (Debian's openmpi-bin)" if not MPIRUN
    else "there is no libdpo-mpi.so: make mpi" if not PLUGIN.exists()
    else None
)


class Ranks:
    """Running ranks: `process` is mpirun's."""

    def __init__(self, count: int, *command: object, environment: "dict[str, str] | None" = None, options: "tuple[str, ...]" = (),
                 folder: "pathlib.Path | None" = None) -> None:
        as_root = ["--allow-run-as-root"] if os.getuid() == 0 else []
        launcher = [str(MPIRUN), "-n", str(count), "--oversubscribe", "--bind-to", "none", *as_root, *options]
        self._start(launcher, command, environment, folder)

    def _start(self, launcher: "list[str]", command: "tuple[object, ...]", environment: "dict[str, str] | None",
               folder: "pathlib.Path | None") -> None:
        # Its own session: what is left of it can be ended as a whole.
        self.process = subprocess.Popen(
            [*launcher, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env={**os.environ, **(environment or {})}, start_new_session=True, cwd=folder,
        )

    def wait(self, limit: float = LIMIT) -> "tuple[int, str]":
        """mpirun's exit status and what all ranks printed; 124 when the time was over."""
        try:
            output, _ = self.process.communicate(timeout=limit)
            return self.process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            for rank in self.pids():
                os.kill(rank, signal.SIGKILL)
            output, _ = self.process.communicate()
            return 124, output + f"\nnot done after {limit} s"

    def pids(self) -> "list[int]":
        """The processes of the ranks, in their order."""
        found = {}
        for status in pathlib.Path("/proc").glob("[0-9]*/environ"):
            try:
                variables = dict(item.split("=", 1) for item in status.read_bytes().decode(errors="replace").split("\0") if "=" in item)
                parent = (status.parent / "stat").read_text().rsplit(")", 1)[1].split()[1]
            except (OSError, IndexError):
                continue
            if parent == str(self.process.pid) and "OMPI_COMM_WORLD_RANK" in variables:
                found[int(variables["OMPI_COMM_WORLD_RANK"])] = int(status.parent.name)
        return [found[rank] for rank in sorted(found)]


class Mpich(Ranks):
    """The same by MPICH's mpiexec."""

    PROGRAM = shutil.which("mpiexec.mpich")

    def __init__(self, count: int, *command: object) -> None:
        self._start([str(self.PROGRAM), "-n", str(count)], command, None, None)


def run(count: int, *command: object, **options: object) -> "tuple[int, str]":
    return Ranks(count, *command, **options).wait()  # type: ignore[arg-type]
