"""Starts ranks by mpirun, with a time limit after which all of them are ended."""

import contextlib
import json
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
            self.end()
            output, _ = self.process.communicate()
            return 124, output + f"\nnot done after {limit} s"

    def end(self) -> None:
        ranks = self.pids()
        os.killpg(self.process.pid, signal.SIGKILL)
        for rank in ranks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(rank, signal.SIGKILL)

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


class OnMachines(Ranks):
    """What runs on both machines."""

    machines: "Machines"

    def end(self) -> None:
        super().end()
        self.machines.close()


class Machines:
    """Two network namespaces that a cable joins, as two machines with one rank each."""

    NAMES = ("dpo-test-a", "dpo-test-b")
    ADDRESSES = ("10.77.43.1", "10.77.43.2")
    #: Why there cannot be any, or None.
    MISSING: "str | None" = None

    @classmethod
    def look(cls) -> None:
        if os.getuid() or not shutil.which("ip"):
            cls.MISSING = "network namespaces need root and iproute2"
            return
        try:
            with cls():
                pass
        except subprocess.CalledProcessError as error:
            cls.MISSING = f"network namespaces are not permitted here: {error.stderr.strip()}"

    def __enter__(self) -> "Machines":
        self.close()
        for name in self.NAMES:
            self._ip("netns", "add", name)
        self._ip("link", "add", "dpo-test", "netns", self.NAMES[0], "type", "veth", "peer", "name", "dpo-test", "netns", self.NAMES[1])
        for name, address in zip(self.NAMES, self.ADDRESSES):
            self._ip("-n", name, "addr", "add", f"{address}/24", "dev", "dpo-test")
            self._ip("-n", name, "link", "set", "dpo-test", "up")
            self._ip("-n", name, "link", "set", "lo", "up")
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends what runs in them, too."""
        for name in self.NAMES:
            pids = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], capture_output=True)

    def _ip(self, *words: str) -> str:
        return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout

    def ranks(self, *names: str) -> "list[int]":
        """The processes of dpo on some machines."""
        pids = [pid for name in names for pid in subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()]
        return [int(pid) for pid in pids if pathlib.Path(f"/proc/{pid}/comm").exists() and pathlib.Path(f"/proc/{pid}/comm").read_text() == "dpo\n"]

    def cut(self) -> None:
        """Takes the cable out."""
        self._ip("-n", self.NAMES[0], "link", "set", "dpo-test", "down")

    def sent(self) -> int:
        """Bytes that went through the cable in both directions."""
        link = json.loads(self._ip("-n", self.NAMES[0], "-s", "-j", "link", "show", "dpo-test"))[0]
        return link["stats64"]["rx"]["bytes"] + link["stats64"]["tx"]["bytes"]

    def start(self, *command: object, environment: "dict[str, str] | None" = None) -> "Ranks":
        """mpirun on the first, which reaches the second by a program in the place of ssh. Each has a name of its own, by which Open MPI
        tells machines apart, and nothing but TCP joins them."""
        first = ["ip", "netns", "exec", self.NAMES[0], "unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', self.NAMES[0]]
        made = OnMachines.__new__(OnMachines)
        made.machines = self
        made._start(
            [*first, str(MPIRUN), "-n", "2", "--allow-run-as-root", "--bind-to", "none",
             "--host", ",".join(f"{address}:1" for address in self.ADDRESSES), "--mca", "plm_rsh_agent", str(pathlib.Path(__file__).with_name("agent")),
             "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "10.77.43.0/24", "--mca", "oob_tcp_if_include", "10.77.43.0/24"],
            command, environment, None,
        )
        return made


def run(count: int, *command: object, **options: object) -> "tuple[int, str]":
    return Ranks(count, *command, **options).wait()  # type: ignore[arg-type]
