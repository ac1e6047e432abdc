"""Workers that are processes of this machine, one per GPU or group of cores."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from search.executors.base import Job
from search.executors.crew import Crew, Hand, LostError
from search.executors.factory import MakeEvaluator, pickled
from search.executors.placing import Place, places
from search.executors.worker import Ready, Reply, Worker

#: How long a process that closed its channel may take to end by itself, before it is ended [s].
_LINGER_S = 2.0
#: Between two looks at whether the driver lives [s].
_WATCH_S = 0.5
#: Between two looks at a worker whose children hold its channel open when it dies [s].
_LOOK_S = 1.0


class Processes(Crew):
    """Scores in processes that start from nothing (`spawn`), each with an evaluator of its own.

    A worker leads a process group: what it started (loaders of data) ends with it, and Ctrl-C in the terminal
    reaches the driver alone, which ends them all. When the driver is killed they end by themselves.

    Args:
        make_evaluator: picklable; gives the evaluator, once in each worker.
        workers: how many.
        timeout_s: for one try at a candidate [s]; None waits.
        threads: of each worker; None as in `places`.
        devices: GPUs, as in `CUDA_VISIBLE_DEVICES`, given to the workers in turn.

    Raises:
        ConfigError: the factory cannot be pickled, or a number is none.
    """

    def __init__(
        self,
        make_evaluator: MakeEvaluator,
        workers: int,
        *,
        timeout_s: float | None = None,
        threads: int | None = None,
        devices: Sequence[str] = (),
    ) -> None:
        super().__init__(workers, timeout_s)
        self._factory = pickled(make_evaluator)
        self._places = places(workers, devices, threads)
        atexit.register(self.close)  # before multiprocessing waits for its children

    def close(self) -> None:
        super().close()
        atexit.unregister(self.close)

    def _hire(self, number: int) -> Hand:
        return _ProcessHand(self._factory, self._places[number])

    def _wait(self, hands: Sequence[Hand], timeout_s: float) -> list[Hand]:
        own = [hand for hand in hands if isinstance(hand, _ProcessHand)]
        said = set(wait([channel for hand in own for channel in hand.channels], min(timeout_s, _LOOK_S)))
        return [hand for hand in own if not said.isdisjoint(hand.channels) or not hand.is_alive]


class _ProcessHand:
    def __init__(self, factory: bytes, place: Place) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, factory, place), name="hwmodel worker")
        with interrupts_blocked():
            self._process.start()
        self._pid = self._process.pid or 0
        theirs.close()

    @property
    def channels(self) -> tuple[Connection, int]:
        """What becomes readable when it says something or ends."""
        return self._pipe, self._process.sentinel

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def give(self, job: Job) -> None:
        with contextlib.suppress(OSError):  # it is gone, as `take` will say
            self._pipe.send_bytes(pickle.dumps(job))

    def take(self) -> Reply:
        try:
            message = self._pipe.recv_bytes() if self._pipe.poll() else None
        except (EOFError, OSError):
            message = None
        if message is None:
            self._process.join(_LINGER_S)
            raise LostError(ending(self._process.exitcode))
        reply: Reply = pickle.loads(message)
        return reply

    def dismiss(self) -> None:
        _end_group(self._pid, is_alive=self._process.is_alive())
        self._process.join(_LINGER_S)
        self._pipe.close()
        with contextlib.suppress(ValueError):  # the system does not let go of it
            self._process.close()


def serve(pipe: Connection, factory: bytes, place: Place) -> None:
    """The life of a worker: say that it is ready, then answer jobs until the driver is gone."""
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)
    threading.Thread(target=_watch_driver, daemon=True).start()
    place.take()
    worker = Worker(factory)
    reply = worker.begin()
    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(pickle.dumps(reply))
        while isinstance(reply, Ready):
            job: Job = pickle.loads(pipe.recv_bytes())
            pipe.send_bytes(pickle.dumps(worker.answer(job)))


def _watch_driver() -> None:
    """End this process and its children once the driver is no more, however it ended."""
    driver = multiprocessing.parent_process()
    while driver is not None and driver.is_alive() and os.getppid() == driver.pid:
        driver.join(_WATCH_S)
    _end_group(os.getpid(), is_alive=True)
    os._exit(1)


def _end_group(leader: int, *, is_alive: bool) -> None:
    """Kill a worker and what it started; before it leads a group it has started nothing."""
    if not hasattr(os, "killpg"):
        if is_alive:
            os.kill(leader, signal.SIGTERM)  # ends a process without asking where there are no groups
        return
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        if is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Processes that are started within it hear no Ctrl-C, not even before they lead a group of their own."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # started with the first process it would let Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ending(code: int | None) -> str:
    """How a process ended."""
    if code is None:
        return "closed its channel and was ended"
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}" + (" (out of memory, or by hand)" if name == "SIGKILL" else "")
