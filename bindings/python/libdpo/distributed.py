"""Several processes that train one model: the engines by which they talk."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from ctypes import byref, c_int32
from typing import Any, Optional

from . import _native, errors

__all__ = ["Communicator"]


class Communicator(_native.Handle):
    """The ranks of a job. ``distributed`` of a config takes one, or what ``Communicator.of`` makes one of."""

    _release = "dpo_communicator_release"

    rank: int
    """Of this process: 0 … size − 1. Rank 0 writes the files of a run."""
    size: int
    """The number of ranks."""

    def __init__(self, *_: object) -> None:
        raise TypeError("Communicator.mpi(), .mpi4py(comm), .torch(group) and .from_callables(…) make a Communicator")

    @classmethod
    def _opened(cls, open: "Callable[[Any], int]") -> "Communicator":
        made = cls.__new__(cls)
        _native.Handle.__init__(made)
        _native.check(open(byref(made._handle)))
        rank, size = c_int32(), c_int32()
        _native.check(_native.lib.dpo_communicator_ranks(made._handle, byref(rank), byref(size)))
        made.rank, made.size = rank.value, size.value
        return made

    @classmethod
    def of(cls, distributed: Any, timeout: float = 1800) -> "Communicator":
        """A ``Communicator`` as it is; of "mpi", an mpi4py communicator, or a process group of torch.distributed."""
        if isinstance(distributed, Communicator):
            return distributed
        if distributed == "mpi":
            return cls.mpi(timeout=timeout)
        if distributed == "torch":
            return cls.torch()
        module = type(distributed).__module__.split(".")[0]
        if module == "mpi4py":
            return cls.mpi4py(distributed, timeout=timeout)
        if module == "torch":
            return cls.torch(distributed)
        raise TypeError(
            f'distributed is {distributed!r}, expected "mpi", "torch", a Communicator, an mpi4py communicator or a process group of torch')

    @classmethod
    def mpi(cls, plugin: Optional[str] = None, timeout: float = 1800) -> "Communicator":
        """The ranks that mpirun or srun started, by libdpo-mpi.so.

        ``plugin``: its file. None: libdpo-mpi.so beside libdpo.so, or where the loader finds it. ``timeout``: seconds that a rank may
        keep the others waiting.
        """
        path = None if plugin is None else _native.path_bytes(plugin)
        return cls._opened(lambda handle: _native.lib.dpo_communicator_open_mpi(path, timeout, handle))

    @classmethod
    def mpi4py(cls, comm: Any = None, timeout: float = 1800) -> "Communicator":
        """The ranks of an mpi4py communicator, of which a duplicate is used; None: COMM_WORLD. Every rank has to call it."""
        from mpi4py import MPI

        own = (MPI.COMM_WORLD if comm is None else comm).Dup()
        if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
            raise errors.StateError("mpi4py has initialised MPI for its main thread only: set mpi4py.rc.thread_level to 'serialized' or 'multiple'")

        def wait(request: Any) -> None:
            start, pause = time.monotonic(), 1e-5
            while not request.Test():
                waited = time.monotonic() - start
                if waited > timeout:
                    raise TimeoutError(f"a rank did not come within {waited:.3g} seconds")
                time.sleep(pause)
                pause = min(2 * pause, 1e-3)

        def layout(sizes: "Sequence[int]") -> "tuple[list[int], list[int]]":
            return list(sizes), [sum(sizes[:rank]) for rank in range(len(sizes))]

        def all_gather(send: memoryview, receive: memoryview, sizes: "Sequence[int]") -> None:
            wait(own.Iallgatherv([send, len(send), MPI.BYTE], [receive, layout(sizes), MPI.BYTE]))

        def all_to_all(send: memoryview, send_sizes: "Sequence[int]", receive: memoryview, receive_sizes: "Sequence[int]") -> None:
            wait(own.Ialltoallv([send, layout(send_sizes), MPI.BYTE], [receive, layout(receive_sizes), MPI.BYTE]))

        name = MPI.Get_library_version().splitlines()[0].split(",")[0].strip("\0") + " by mpi4py"
        return cls.from_callables(own.Get_rank(), own.Get_size(), all_gather, all_to_all, name=name, abort=own.Abort)

    @classmethod
    def torch(cls, group: Any = None) -> "Communicator":
        """The ranks of a process group of torch.distributed; None: the default one. Its backend has to move tensors on the CPU, as gloo
        does. How long a rank may keep the others waiting is the group's ``timeout``."""
        import torch
        from torch import distributed

        backend = distributed.get_backend(group)
        if backend not in ("gloo", "mpi"):
            raise errors.UnsupportedError(
                f"the process group's backend is {backend}, which moves no tensors on the CPU; give torch.distributed.new_group(backend='gloo')")
        size = distributed.get_world_size(group)
        members = distributed.get_process_group_ranks(distributed.group.WORLD if group is None else group)

        def tensor(view: memoryview) -> Any:
            return torch.frombuffer(view, dtype=torch.uint8) if len(view) else torch.empty(0, dtype=torch.uint8)

        def all_gather(send: memoryview, receive: memoryview, sizes: "Sequence[int]") -> None:
            # torch's own needs the same size on every rank.
            place = 0
            for rank in range(size):
                part = receive[place : place + sizes[rank]]
                place += sizes[rank]
                if rank == distributed.get_rank(group):
                    part[:] = send
                if sizes[rank]:
                    distributed.broadcast(tensor(part), members[rank], group=group)

        def all_to_all(send: memoryview, send_sizes: "Sequence[int]", receive: memoryview, receive_sizes: "Sequence[int]") -> None:
            distributed.all_to_all_single(
                tensor(receive), tensor(send), list(receive_sizes), list(send_sizes), group=group)

        return cls.from_callables(
            distributed.get_rank(group), size, all_gather, all_to_all, name=f"torch.distributed {torch.__version__}, {backend}")

    @classmethod
    def from_callables(
        cls,
        rank: int,
        size: int,
        all_gather: "Callable[[memoryview, memoryview, Sequence[int]], object]",
        all_to_all: "Callable[[memoryview, Sequence[int], memoryview, Sequence[int]], object]",
        *,
        name: str = "Python's functions",
        abort: "Optional[Callable[[int], object]]" = None,
    ) -> "Communicator":
        """An engine of your own. All ranks call its functions in the same order, one at a time, from threads of the library.

        ``all_gather(send, receive, sizes)``: ``receive`` gets ``sizes[r]`` bytes of each rank r, one after the other; ``send`` are this
        rank's. ``all_to_all(send, send_sizes, receive, receive_sizes)``: ``send`` holds ``send_sizes[r]`` bytes for each rank r, and
        ``receive`` gets ``receive_sizes[r]`` from it. They raise an exception where a rank does not answer. ``abort(exit_status)`` ends
        every rank.
        """
        error = ctypes.create_string_buffer(1024)

        def guarded(work: "Callable[[], object]") -> int:
            try:
                work()
                return 0
            except BaseException as raised:  # carried over the C frames
                text = str(raised) or type(raised).__name__
                error.value = text.encode("utf-8", "replace")[:1000].decode("utf-8", "ignore").encode()
                return 1

        def gather(_: object, send: int, receive: int, sizes: Any) -> int:
            counts = sizes[:size]
            return guarded(lambda: all_gather(_view(send, counts[rank]), _view(receive, sum(counts)), counts))

        def exchange(_: object, send: int, send_sizes: Any, receive: int, receive_sizes: Any) -> int:
            out, into = send_sizes[:size], receive_sizes[:size]
            return guarded(lambda: all_to_all(_view(send, sum(out)), out, _view(receive, sum(into)), into))

        functions = _native.Collectives()
        functions.version, functions.rank, functions.size = _native.COLLECTIVES_VERSION, rank, size
        functions.name = _native.text_bytes(name, "name")
        functions.all_gather, functions.all_to_all = _native.AllGather(gather), _native.AllToAll(exchange)
        functions.last_error = _native.LastError(lambda _: ctypes.addressof(error))
        if abort is not None:
            functions.abort = _native.Abort(lambda _, status: guarded(lambda: abort(status)) and None)
        _KEPT.append((functions, error))
        return cls._opened(lambda handle: _native.lib.dpo_communicator_create(byref(functions), handle))

    def abort(self, exit_status: int = 1) -> None:
        """Ends every rank, this one too, where the engine can: for a program that cannot go on."""
        _native.check(_native.lib.dpo_communicator_abort(self._handle, exit_status))


#: What the library calls: trainers may outlive the Communicator, and are released in any order when the process ends.
_KEPT: "list[object]" = []


def _view(address: Optional[int], size: int) -> memoryview:
    if not size:
        return memoryview(bytearray())
    return memoryview((ctypes.c_char * size).from_address(address or 0)).cast("B")
