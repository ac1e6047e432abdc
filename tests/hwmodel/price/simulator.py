"""A layer under a mapping played out tile by tile: an event simulator beside the closed form of the timeline.

Transfers of tiles, steps of the array and write-backs are jobs. Each takes a share of the ports that it uses.
Ports serve the job that is needed first, and pass on what it leaves. Between two events all jobs advance at
constant rates, so the simulation is exact. Buffers are credits: a tile may come once the tile two before it (in
a single buffer the one before it) is no longer used. For layers without filters (FY = FX = 1), whose tiles are
new or stay as a whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable
from dataclasses import dataclass, field

from hwmodel import Mapping
from hwmodel.nest.access import Networks, distinct_tiles
from hwmodel.nest.mapping import footprint
from hwmodel.nest.task import Task
from hwmodel.network.layer import RELEVANT, Operand

#: A resource, or a port (memory, side).
Port = tuple[str, str]


@dataclass
class Job:
    """Something that takes time.

    Attributes:
        urgency: the step that waits for it.
        parent: level that it comes from or goes to; words on their way from or to an outer one go first.
        needs: jobs to be done before.
        use: port -> time that the whole job takes of it alone [cycles].
        least: time that it takes at least [cycles].
    """

    urgency: float
    parent: int = 0
    use: dict[Port, float] = field(default_factory=dict)
    least: float = 0.0
    needs: set[Hashable] = field(default_factory=set)
    left: float = 1.0


def simulate(task: Task, mapping: Mapping) -> float:
    """Cycles until the last output is out."""
    return run(Nest(task, mapping).jobs())


def run(jobs: dict[Hashable, Job]) -> float:
    """When all are done."""
    now = 0.0
    waiting = {name: set(job.needs) & set(jobs) for name, job in jobs.items()}
    users: dict[Hashable, list[Hashable]] = {}
    for name, needs in waiting.items():
        for need in needs:
            users.setdefault(need, []).append(name)
    ready = [name for name, needs in waiting.items() if not needs]
    while ready:
        free: dict[Port, float] = {}
        rates: dict[Hashable, float] = {}
        for name in sorted(ready, key=lambda item: (-jobs[item].parent, jobs[item].urgency, str(item))):
            job = jobs[name]
            rate = 1.0 / job.least if job.least else math.inf
            for port, time in job.use.items():
                if time:
                    rate = min(rate, max(free.get(port, 1.0), 0.0) / time)
            for port, time in job.use.items():
                if time:
                    free[port] = free.get(port, 1.0) - rate * time
            rates[name] = rate
        step = min(jobs[name].left / rates[name] for name in ready if rates[name] > 1e-12)
        now += step
        done = []
        for name in ready:
            jobs[name].left -= rates[name] * step if math.isfinite(rates[name]) else jobs[name].left
            if jobs[name].left <= 1e-9:
                done.append(name)
        for name in done:
            ready.remove(name)
            for user in users.get(name, []):
                waiting[user].discard(name)
                if not waiting[user]:
                    ready.append(user)
    assert all(job.left <= 1e-9 for job in jobs.values()), "some job never became ready"
    return now


class Nest:
    """The jobs of a nest of registers (or none), one buffer (or none) and an outermost memory."""

    def __init__(self, task: Task, mapping: Mapping) -> None:
        self.task, self.mapping, self.levels = task, mapping, task.accelerator.levels
        self.array = task.accelerator.array_level
        loops = [
            (index, loop)
            for index in range(len(self.levels) - 1, self.array - 1, -1)
            for loop in mapping.levels[index].temporal
        ]
        self.loops = loops
        self.steps = list(itertools.product(*(range(loop.bound) for _, loop in loops)))
        inside = math.prod(loop.bound for level in mapping.levels[: self.array] for loop in level.temporal)
        rate = task.accelerator.precision.macs_per_cycle(task.widths.w, task.widths.i)
        self.step_cycles = math.ceil(mapping.iterations / rate) / len(self.steps)
        self.inside = inside

    def epochs(self, operand: Operand, level: int) -> list[int]:
        """Per step the number of the tile that a level (or, at -1, a MAC) has of an operand."""
        outer = [n for n, (index, _) in enumerate(self.loops) if index > level]
        found, last, number = [], None, -1
        for step in self.steps:
            key = tuple(step[n] for n in outer if self.loops[n][1].dim in RELEVANT[operand])
            if key != last:
                number, last = number + 1, key
            found.append(number)
        return found

    def first_visits(self, operand: Operand, level: int) -> list[bool]:
        """Per tile in the order of its coming: nothing was added to its sums before."""
        outer = [n for n, (index, _) in enumerate(self.loops) if index > level]
        seen: set[tuple[int, ...]] = set()
        found: list[bool] = []
        last = None
        for step in self.steps:
            key = tuple(step[n] for n in outer if self.loops[n][1].dim in RELEVANT[operand])
            if key != last:
                found.append(key not in seen)
                seen.add(key)
                last = key
        return found

    def last_visits(self, operand: Operand, level: int) -> list[bool]:
        outer = [n for n, (index, _) in enumerate(self.loops) if index > level]
        keys: list[tuple[int, ...]] = []
        for step in self.steps:
            key = tuple(step[n] for n in outer if self.loops[n][1].dim in RELEVANT[operand])
            if not keys or key != keys[-1]:
                keys.append(key)
        return [key not in keys[n + 1 :] for n, key in enumerate(keys)]

    def use(self, operand: Operand, child: int, parent: int, bits: float, out: bool) -> dict[Port, float]:
        """Ports of one tile between two levels; bits: of one child."""
        inner, outer = self.levels[child].memory(operand), self.levels[parent].memory(operand)
        assert inner is not None and outer is not None
        different = distinct_tiles(
            self.task.layer, self.mapping, operand, child, parent, Networks.of(self.task.accelerator)
        )
        far = (outer.write_bits_per_cycle if out else outer.read_bits_per_cycle) or math.inf
        near = (inner.read_bits_per_cycle if out else inner.write_bits_per_cycle) or math.inf
        use = {(outer.name, _side(outer.shared_port, "write" if out else "read")): bits * different / far}
        # draining is no read of the child's port, as in the counts, but it takes as long as that port needs
        name = (inner.name, _side(inner.shared_port, "write")) if not out else (inner.name, f"drain {operand}")
        use[name] = bits / near
        return use

    def jobs(self) -> dict[Hashable, Job]:
        jobs: dict[Hashable, Job] = {}
        for n in range(len(self.steps)):
            job = Job(urgency=n, use={("array", ""): self.step_cycles}, least=self.step_cycles)
            if n:
                job.needs.add(("step", n - 1))
            jobs["step", n] = job
        for operand in ("W", "I"):
            self.inputs(jobs, operand)  # type: ignore[arg-type]
        self.outputs(jobs)
        return jobs

    def inputs(self, jobs: dict[Hashable, Job], operand: Operand) -> None:
        holders = self.mapping.holders(operand)
        width = self.task.widths.w if operand == "W" else self.task.widths.i
        inner = holders[0]
        if inner >= self.array:  # streamed from there
            self.stream(jobs, operand, inner, width, out=False)
        for n, epoch in enumerate(self.epochs(operand, inner)):
            jobs["step", n].needs.add((operand, inner, epoch))
        for child, parent in itertools.pairwise(holders):
            epochs = self.epochs(operand, child)
            tile = footprint(self.task.layer, operand, self.mapping.bounds(child)) * width
            back = 2 if _double(self.levels[child].memory(operand)) else 1
            for epoch, steps in _steps_of(epochs).items():
                job = Job(steps[0], parent, self.use(operand, child, parent, tile, out=False))
                job.needs.add((operand, parent, self.epochs(operand, parent)[steps[0]]))
                if epoch - back >= 0:
                    job.needs |= self.users(operand, child, _steps_of(epochs)[epoch - back])
                jobs[operand, child, epoch] = job

    def users(self, operand: Operand, level: int, steps: list[int]) -> set[Hashable]:
        """What uses the tile that a level has in these steps."""
        holders = self.mapping.holders(operand)
        place = holders.index(level)
        if place == 0:
            return {("step", steps[-1])}
        below = holders[place - 1]
        return {(operand, below, self.epochs(operand, below)[n]) for n in steps}

    def stream(self, jobs: dict[Hashable, Job], operand: Operand, level: int, width: int, out: bool) -> None:
        """The array takes every word from (puts it into) a level as it goes, a PE its own into its registers."""
        memory = self.levels[level].memory(operand)
        assert memory is not None
        different = 1
        if level >= self.array:
            different = distinct_tiles(
                self.task.layer, self.mapping, operand, -1, self.array, Networks.of(self.task.accelerator)
            )
        bandwidth = (memory.write_bits_per_cycle if out else memory.read_bits_per_cycle) or math.inf
        port = (memory.name, _side(memory.shared_port, "write" if out else "read"))
        for n in range(len(self.steps)):
            use = jobs["step", n].use
            use[port] = use.get(port, 0.0) + self.inside * different * width / bandwidth

    def outputs(self, jobs: dict[Hashable, Job]) -> None:
        widths, holders = self.task.widths, self.mapping.holders("O")
        inner = holders[0]
        if inner >= self.array:
            self.stream(jobs, "O", inner, widths.acc, out=True)
            self.reread(jobs, inner)
        else:
            self.stream(jobs, "O", inner, widths.acc, out=True)
        for place, (child, parent) in enumerate(itertools.pairwise(holders)):
            epochs = self.epochs("O", child)
            words = footprint(self.task.layer, "O", self.mapping.bounds(child))
            memory, steps_of = self.levels[child].memory("O"), _steps_of(epochs)
            first, final = self.first_visits("O", child), self.last_visits("O", child)
            # outputs leave the PEs as they are finished: the drain runs beside the next tile
            back = 2 if _double(memory) or self.levels[child].per_pe else 1
            refill_back = 2 if _double(memory) else 1
            for epoch, steps in steps_of.items():
                width = widths.o if final[epoch] else widths.acc
                drain = Job(steps[-1] + 0.5, parent, self.use("O", child, parent, words * width, out=True))
                drain.needs.add(("step", steps[-1]))
                if place:
                    below = holders[place - 1]
                    drain.needs |= {("drain", below, self.epochs("O", below)[n]) for n in steps}
                jobs["drain", child, epoch] = drain
                if epoch - back >= 0:
                    jobs["step", steps[0]].needs.add(("drain", child, epoch - back))
                if not first[epoch]:
                    fill = Job(steps[0], parent, self.use("O", child, parent, words * widths.acc, out=False))
                    if parent != holders[-1]:
                        fill.needs.add(("fill", parent, self.epochs("O", parent)[steps[0]]))
                    same = self.same_before("O", child, epoch)
                    fill.needs.add(("drain", child, same))
                    if epoch - refill_back >= 0:
                        fill.needs.add(("step", steps_of[epoch - refill_back][-1]))
                        if not self.levels[child].per_pe:
                            fill.needs.add(("drain", child, epoch - refill_back))
                    jobs["fill", child, epoch] = fill
                    jobs["step", steps[0]].needs.add(("fill", child, epoch))

    def same_before(self, operand: Operand, level: int, epoch: int) -> int:
        """The last epoch before with the same tile."""
        outer = [n for n, (index, _) in enumerate(self.loops) if index > level]
        keys: list[tuple[int, ...]] = []
        for step in self.steps:
            key = tuple(step[n] for n in outer if self.loops[n][1].dim in RELEVANT[operand])
            if not keys or key != keys[-1]:
                keys.append(key)
        return max(n for n in range(epoch) if keys[n] == keys[epoch])

    def reread(self, jobs: dict[Hashable, Job], level: int) -> None:
        """The MACs add to sums in a shared memory: all but the first visit of a word read it."""
        memory = self.levels[level].memory("O")
        assert memory is not None
        port = (memory.name, _side(memory.shared_port, "read"))
        seen: set[tuple[int, ...]] = set()
        relevant = [n for n, (_, loop) in enumerate(self.loops) if loop.dim in RELEVANT["O"]]
        updates = self.inside * distinct_tiles(
            self.task.layer, self.mapping, "O", -1, self.array, Networks.of(self.task.accelerator)
        )
        bounds = self.mapping.bounds(self.array - 1)
        for loop in self.mapping.levels[self.array].spatial:
            bounds[loop.dim] *= loop.bound
        new = footprint(self.task.layer, "O", bounds)
        for n, step in enumerate(self.steps):
            key = tuple(step[k] for k in relevant)
            words = updates - (0 if key in seen else new)
            use = jobs["step", n].use
            use[port] = use.get(port, 0.0) + words * self.task.widths.acc / (memory.read_bits_per_cycle or math.inf)
            seen.add(key)


def _steps_of(epochs: list[int]) -> dict[int, list[int]]:
    steps: dict[int, list[int]] = {}
    for n, epoch in enumerate(epochs):
        steps.setdefault(epoch, []).append(n)
    return steps


def _double(memory: object) -> bool:
    return bool(getattr(memory, "double_buffered", False))


def _side(shared: bool, side: str) -> str:
    return "all" if shared else side
