"""What a running search says."""

from __future__ import annotations

import io

from rich.console import Console

from reports.live.progress import LiveObserver, LogObserver, State, front_text
from search.front.results import Result
from workloads.training import Accuracy, EpochRecord


def make_result(number: int, correct: int, bits: float, *, stage: str = "ptq", error: str = "") -> Result:
    status = "failed" if error else "done"
    return Result(
        number=number, stage=stage, key=f"k{number}", correct=0 if error else correct, total=0 if error else 100,
        costs={"avg_w_bits": bits}, status=status, error=error, wall_s=0.5,
    )  # fmt: skip


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_front_names_its_two_ends() -> None:
    cheap, best = make_result(0, 88, 2.0), make_result(1, 91, 2.6)
    assert front_text((cheap, best)) == "best 91.0 % @ 2.60 bits │ cheapest 88.0 % @ 2.00 bits"
    assert front_text((best,)) == "best 91.0 % @ 2.60 bits"
    assert front_text(()) == ""


def test_the_time_left_is_that_of_the_steps_done_here() -> None:
    clock = Clock()
    state = State(clock)
    state.stage_started("ptq", 10, 40)  # ten are there from an earlier run
    assert state.remaining_s is None
    clock.now = 6.0
    state.candidate_done(make_result(0, 90, 2.0), 12, 40, ())
    assert state.remaining_s == 6.0 / 2 * 28


def test_the_log_has_one_line_per_candidate() -> None:
    lines: list[str] = []
    log = LogObserver(lines.append)
    log.stage_started("ptq", 0, 3)
    good = make_result(0, 90, 2.5)
    log.candidate_done(good, 1, 3, (good,))
    log.retrying("RuntimeError: out of memory (retrying)")
    log.candidate_done(make_result(1, 0, 2.0, error="RuntimeError: bad\x1b[31m"), 2, 3, (good,))
    assert lines == [
        "candidates, PTQ: 3 steps",
        "ptq 1/3 · 90.00 % @ 2.50 bits · sampler · 500 ms · front 1",
        "RuntimeError: out of memory (retrying)",
        "ptq 2/3 · failed: RuntimeError: bad\\x1b[31m @ 2.00 bits · sampler · 500 ms · front 1",
    ]
    assert log.failures == "1 failed, 1 retried"


def test_the_log_of_a_long_stage_is_short() -> None:
    lines: list[str] = []
    log = LogObserver(lines.append)
    log.stage_started("table", 0, 500)
    for done in range(1, 501):
        log.step("table", done, 500)
    assert len(lines) == 1 + 10
    assert lines[-1] == "pricing layers 500/500"


def epoch(number: int, ema: Accuracy | None = None) -> EpochRecord:
    return EpochRecord(
        epoch=number, lr=0.025, loss=0.4123, train_accuracy=Accuracy(correct=912, total=1000),
        validation=Accuracy(correct=90, total=100), ema_validation=ema, wall_s=4.2,
    )  # fmt: skip


def test_the_log_of_a_training_has_one_line_per_epoch() -> None:
    lines: list[str] = []
    log = LogObserver(lines.append)
    log.stage_started("finetune", 0, 2)
    for number, average in ((1, None), (2, Accuracy(correct=91, total=100))):
        for step in range(1, 6):
            log.batch_done("finetune", (number - 1) * 5 + step, 10)
        log.epoch_done(epoch(number, average), 2)
        log.step("finetune", number, 2)
    assert lines == [
        "finetuning: 2 steps",
        "epoch 1/2 · loss 0.412 · train 91.20 % · validation 90.00 % · lr 0.025 · 4.20 s",
        "epoch 2/2 · loss 0.412 · train 91.20 % · validation 90.00 % · EMA 91.00 % · lr 0.025 · 4.20 s",
    ]


def test_the_bar_of_a_training_moves_within_an_epoch() -> None:
    clock = Clock()
    state = State(clock)
    state.stage_started("finetune", 0, 4)
    clock.now = 3.0
    state.batch_done("finetune", 10, 80)  # half of the first epoch
    assert state.remaining_s == 3.0 / 0.5 * 3.5
    live = LiveObserver("best", "cpu", "")
    live.stage_started("finetune", 0, 4)
    live.epoch_done(epoch(1), 4)
    live.step("finetune", 1, 4)
    console = Console(file=io.StringIO(), width=110)
    console.print(live)
    assert "epoch 1/4 · loss 0.412" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_live_lines_fit_a_terminal_and_take_any_name() -> None:
    live = LiveObserver("r20[/bold]", "cuda:0", "hwmodel resume runs/r20")
    live.stage_started("qat", 0, 200)
    front = (make_result(0, 88, 2.0, stage="qat"), make_result(1, 91, 2.6, stage="qat"))
    live.candidate_done(front[1], 73, 200, front)
    console = Console(file=io.StringIO(), width=110)
    console.print(live)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    for part in ("r20[/bold]", "73/200", "cuda:0", "front 2", "best 91.0 % @ 2.60 bits", "hwmodel resume runs/r20"):
        assert part in text
