"""Study 7. Which learning rate trains a ResNet-20, and does it matter how the rate falls?

SGD with momentum from random weights at 1e-4, 0.1 and 1.0. The rate falls to a tenth after every quarter of the run
(of 100 epochs: after every 25), or along a cosine to zero.
"""

from __future__ import annotations

import time
from typing import Any

from reports import plot_lines
from reports.experiments import FAST, Experiment, run
from reports.figures.theme import new_panels
from workloads import load_model
from workloads.training import TrainSettings, finetune, measure_accuracy

NEEDS = ("cifar10",)
RATES = (1e-4, 0.1, 1.0)
SCHEDULES = ("multistep", "cosine")


def settings_of(lr: float, schedule: str, epochs: int, seed: int) -> TrainSettings:
    quarters = [epochs * part / 4 for part in (1, 2, 3)] if schedule == "multistep" else []
    return TrainSettings(
        epochs=epochs, lr=lr, schedule=schedule, milestones=tuple(quarters), gamma=0.1, warmup_epochs=0,
        seed=seed, **FAST,
    )  # fmt: skip


def main(study: Experiment) -> None:
    epochs, width, model_name = study.choose((12, 8, "resnet20"), (1, 4, "resnet8"))
    data = study.data("cifar10", limit=8000, parts={"validation": 1000})
    study.cut(f"{epochs} epochs of {len(data.train):,} images in the place of 100 of 50,000.")
    study.cut(f"ResNet-20 of {width}, {2 * width} and {4 * width} channels, half of the paper's: six runs.")

    def trained(settings: TrainSettings) -> dict[str, Any]:
        model = load_model(model_name, shortcut="pad", width=width, seed=study.seed)
        before = time.process_time()
        result = finetune(model, data.train, settings, validation=data.validation, device=study.device)
        processor = time.process_time() - before
        steps = result.steps_to_dataframe()[["step", "average_loss"]].to_dict("records")
        return {
            "test": measure_accuracy(model, data.test, study.device, memory_format=settings.memory_format),
            "epochs": [{"epoch": e.epoch, "loss": e.loss, "validation": e.validation} for e in result.history],
            "seconds": round(result.wall_s, 1), "processor_seconds": round(processor, 1), "steps": steps,
        }  # fmt: skip

    rows, steps, curve = [], [], []
    for lr in RATES:
        for schedule in SCHEDULES:
            found = study.once(trained, settings=settings_of(lr, schedule, epochs, study.seed))
            key = {"lr": lr, "schedule": schedule}
            steps += [{"run": f"{lr:g}, {schedule}", **step} for step in found["steps"]]
            curve += [{"run": f"{lr:g}, {schedule}", **row} for row in found["epochs"]]
            rows.append({
                **key, "average_loss": found["steps"][-1]["average_loss"],
                "validation": found["epochs"][-1]["validation"], "test": found["test"],
                "seconds": found["seconds"], "processor_seconds": found["processor_seconds"],
            })  # fmt: skip
    draw(study, study.table("runs", rows), study.curves("steps", steps), study.curves("epochs", curve))
    study.finding(said(rows))


def said(rows: list[dict[str, Any]]) -> str:
    """Validation picks the run; test says what it is worth, and what the other schedule and rates do."""
    best = max(rows, key=lambda row: row["validation"])
    other = next(row for row in rows if row["lr"] == best["lr"] and row is not best)
    tie = best["test"].interval.overlaps(other["test"].interval)
    rest = [(lr, max(row["test"] for row in rows if row["lr"] == lr)) for lr in RATES if lr != best["lr"]]
    return (
        f"Validation picks {best['lr']:g} with {best['schedule']}: {best['test'].value:.1%} on test after "
        f"{best['processor_seconds']:.0f} s of processor; {other['schedule']} at the same rate gives "
        f"{other['test'].value:.1%} after {other['processor_seconds']:.0f} s ({'a tie' if tie else 'no tie'}), and "
        f"the better schedule gives {' and '.join(f'{test.value:.1%} at {lr:g}' for lr, test in rest)}."
    )


def draw(study: Experiment, rows: list[Any], steps: list[Any], curve: list[Any]) -> None:
    """Loss over the steps, validation over the epochs, test over the rates."""
    left, middle, right = new_panels(3, 13, 4.2)
    plot_lines(steps, "step", "average_loss", "run", left, legend="inside", labels=("Step", "Loss, moving average"))
    left.set_ylim(top=3.2)  # the first steps at a rate of 1 are beyond
    plot_lines(
        curve, "epoch", "validation", "run", middle, percent=True, legend="none", labels=("Epoch", "Validation [%]")
    )
    plot_lines(
        rows, "lr", "test", "schedule", right, percent=True, log="x", legend="inside",
        labels=("Learning rate", "Test [%]"),
    )  # fmt: skip
    study.figure(left)


if __name__ == "__main__":
    run(main)
