"""What the README and docs/explain/silicon.md say of the reference figures is what their replays give."""

from __future__ import annotations

import re
import statistics
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.fidelity import FORMATS, replay_file
from benchmarks.replays.case import Case
from benchmarks.replays.figures import COMMITTED, figures_path
from hwmodel import evaluate, load_accelerator
from tests.hwmodel.chips import without_residents
from workloads import trace
from workloads.models import load_model_with_input

ROOT = Path(__file__).parents[2]


@cache
def cases(kind: str) -> list[Case]:
    return replay_file(kind, figures_path(FORMATS[kind].figures))


def errors(kind: str, ending: str = "") -> list[float]:
    """Absolute errors in percent, of the cases whose name ends so."""
    return [100 * abs(case.error) for case in cases(kind) if case.name.endswith(ending)]


def claim(start: str) -> str:
    """The result in the README's row that starts so."""
    rows = re.findall(r"^  \| (.+?) \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    (result,) = [result for reference, result in rows if reference.startswith(start)]
    return result


def number(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found, (text, pattern)
    return found[1]


def check_bound(stated: str, value: float) -> None:
    """A stated bound is kept, and by less than one of its last digits."""
    unit = 10.0 ** -len(stated.partition(".")[2])
    assert float(stated) - unit < value <= float(stated) + 1e-9


def table(title: str) -> dict[str, list[str]]:
    """The first table under a title of docs/explain/silicon.md: first column -> the others."""
    section = (ROOT / "docs" / "explain" / "silicon.md").read_text().split(f"# {title}\n")[1]
    rows = re.findall(r"^\|(.*?)\|(.*)\|$", section.split("\n\n## ")[0].split("\n# ")[0], re.MULTILINE)
    return {name.strip(): [cell.strip() for cell in cells.split("|")] for name, cells in rows}


def test_what_staying_on_chip_and_stripes_save():
    """The four energies of the README's sentence, from the traced networks."""
    text = " ".join((ROOT / "README.md").read_text().split())
    (dscnn, apart), (fused, whole) = (
        re.findall(pattern, text)[0]
        for pattern in (
            r"DS-CNN on `edge_npu` takes ([\d.]+) µJ, and ([\d.]+) with every activation through DRAM",
            r"MobileNetV2 takes ([\d.]+) mJ on `edge_npu` instead of ([\d.]+)",
        )
    )
    npu = load_accelerator("edge_npu")
    model, example = load_model_with_input("dscnn")
    graph = trace(model, *example)
    assert [dscnn, apart] == [f"{evaluate(graph, chip).energy_pj / 1e6:.1f}"
                              for chip in (npu, without_residents("edge_npu"))]  # fmt: skip
    model, example = load_model_with_input("mobilenetv2")
    graph = trace(model, *example)
    assert [fused, whole] == [f"{evaluate(graph, npu, fuse=fuse).energy_pj / 1e9:.2f}" for fuse in (True, False)]


def test_timeloop():
    assert claim("Timeloop v3.0.3: 190 access counts").startswith("equal; at or below in all six")
    assert (len(cases("timeloop-counts")), max(errors("timeloop-counts"))) == (190, 0)
    assert len(cases("timeloop-best")) == 6
    assert max(case.error for case in cases("timeloop-best")) < 1e-6  # the file states six digits


def test_deep_hierarchies():
    assert claim("chips of four and five levels: 18 optima") == "17 equal, one 0.5 % lower; all priced to the digit"
    stated = [case for case in cases("deep") if "as stated" in case.name]
    best = [case for case in cases("deep") if "as stated" not in case.name]
    assert (len(stated), len(best)) == (36, 18)
    assert max(abs(case.error) for case in stated) < 1e-9
    assert [case.name for case in best if not abs(case.error) < 1e-9] == [
        "gemmini gemm_128_768_768: best even mapping [pJ]"
    ]
    assert (
        -0.005 < min(case.error for case in best) < 0
    )  # its `even` search misses one, which its `free` search finds


def test_scalesim():
    assert claim("SCALE-Sim 3.0.0: 144 systolic layers") == "equal"
    assert (len(cases("scalesim")), max(errors("scalesim"))) == (144, 0)


@pytest.mark.parametrize(
    ("column", "said"),
    [("Processing Latency (ms)", "processing latency"), ("DRAM Accesses (MB)", "DRAM"), ("Power (mW)", "power")],
)
def test_eyeriss(column, said):
    check_bound(
        number(claim("Eyeriss silicon (JSSC 2017, table V)"), rf"{said} within ([\d.]+) %"),
        max(errors("eyeriss", column)),
    )


def test_bitfusion():
    text = claim("Bit Fusion simulator: 135 layers' compute cycles")
    compute = [case.error for case in cases("bitfusion") if case.name.endswith(" compute")]
    totals = [case.error for case in cases("bitfusion") if case.name.endswith("/total")]
    assert len(compute) == 135
    assert int(number(text, r"equal in (\d+)")) == compute.count(0)
    assert int(number(text, r"lower in (\d+)")) == sum(error < 0 for error in compute)
    assert max(compute) == 0
    assert number(text, r"up to (\d+) % lower") == f"{-100 * min(totals):.0f}"


def test_haq():
    text = claim("HAQ table: 424 speed-ups")
    found = sorted(errors("haq"))
    assert len(found) == 424
    assert number(text, r"median error ([\d.]+) %") == f"{found[212]:.1f}"
    assert number(text, r"worst ([\d.]+) %") == f"{found[-1]:.1f}"


def test_gemmini():
    """Mean, median and largest error, and the rank correlation, on the page on the cost model."""
    found = errors("gemmini")
    page = " ".join((ROOT / "docs" / "explain" / "cost-model.md").read_text().split())
    stated = re.search(r"mean error is ([\d.]+) %, the median ([\d.]+) %, the largest (\d+) %", page)
    assert stated is not None
    said = (f"{statistics.fmean(found):.1f}", f"{statistics.median(found):.1f}", f"{max(found):.0f}")
    assert stated.groups() == said
    pairs = np.array([[case.reference, case.prediction] for case in cases("gemmini")])
    ranks = np.argsort(np.argsort(pairs, axis=0), axis=0)
    assert number(page, r"rank correlation ([\d.]+\d)") == f"{np.corrcoef(ranks.T)[0, 1]:.3f}"


def test_a100():
    text = claim("A100 fp16 products")
    found = errors("gemm")
    assert number(text, r"mean error ([\d.]+) %") == f"{sum(found) / len(found):.1f}"
    assert number(text, r"worst (\d+) %") == f"{max(found):.0f}"


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("processing latency", "Processing Latency (ms)"),
        ("total latency", "Total Latency (ms)"),
        ("DRAM accesses", "DRAM Accesses (MB)"),
        ("buffer accesses", "Global Buffer Accesses (MB)"),
        ("power", "Power (mW)"),
    ],
)
def test_errors_beside_the_silicon(name, column):
    found = {case.name.split(": ")[0]: case.error for case in cases("eyeriss") if case.name.endswith(column)}
    rows = table("Eyeriss against its silicon")
    heads = ["Total" if head == "sum" else head for head in rows["error of"]]
    assert rows[name] == [f"{100 * found[head]:+.1f} %" for head in heads]


def test_errors_beside_the_silicon_on_vgg16():
    columns = ("Processing Latency (ms)", "Total Latency (ms)", "Global Buffer Accesses (MB)", "DRAM Accesses (MB)",
               "Power (mW)")  # fmt: skip
    found = {case.name: case for case in replay_file("eyeriss", COMMITTED / "eyeriss_vgg16_silicon.json")}
    rows = table("VGG-16")
    said = claim("Eyeriss silicon, VGG-16")
    for column, text in (
        (columns[1], r"total latency within ([\d.]+) %"),
        (columns[2], r"buffer accesses within ([\d.]+) %"),
    ):
        worst = max(100 * abs(case.error) for name, case in found.items() if name.endswith(column))
        check_bound(number(said, text), worst)
    assert number(said, r"([\d.]+) % in sum") == f"{100 * abs(found[f'Total: {columns[1]}'].error):.1f}"
    assert len(rows) == 14 + 2
    for name, cells in list(rows.items())[2:]:
        layer = "Total" if name == "sum" else name
        mine = [found[f"{layer}: {column}"] for column in columns]
        assert cells == [f"{mine[0].reference:.1f}", *(f"{100 * case.error:+.1f} %" for case in mine)], layer


def test_tops_beside_the_counters():
    found = {case.name.removesuffix(" TOPS"): case for case in cases("tpu")}
    rows = table("TPUv1 against its production counters")
    assert rows[""] == list(found)
    assert rows["counters [TOPS]"] == [f"{case.reference:g}" if case.reference < 80 else f"{case.reference:.1f}"
                                       for case in found.values()]  # fmt: skip
    assert rows["model [TOPS]"] == [f"{case.prediction:.1f}" for case in found.values()]
    assert rows["error"] == [f"{100 * case.error:+.0f} %" for case in found.values()]


def test_ethos_u():
    """Every total and mean of the table, and its blocks."""
    rows = table("Ethos-U against Arm's estimator")
    names = {
        "resnet8_cifar10": "ResNet-8", "mobilenet_v1_025_vww": "MobileNetV1 0.25", "dscnn_49x10": "DS-CNN",
        "autoencoder_640": "autoencoder", "mobilenet_v2_035_96": "MobileNetV2 0.35", "resnet_64": "ResNet, 64 x 64",
        "convolutions_16_bit": "16-bit activations",
    }  # fmt: skip
    npus = [f"ethos-{npu.lower()}" for npu in rows["error of the total"]]
    files = ("ethos_u_vela.json", "ethos_u_vela_more.json")
    found = [case for name in files for case in replay_file("vela", COMMITTED / name)]
    totals = {case.name.removesuffix(": total"): case.error for case in found if case.name.endswith(": total")}
    for key, name in names.items():
        cells = [totals.get(f"{key} on {npu}") for npu in npus]
        assert rows[name] == ["-" if cell is None else f"{round(100 * cell, 1) + 0.0:+.1f} %" for cell in cells]
    for npu, cell in zip(npus, rows["compute"], strict=True):
        means = [abs(case.error) for case in found if f" on {npu}: compute" in case.name]
        assert cell == f"{100 * sum(means) / len(means):.1f} %"
    said = claim("Arm's estimator of Ethos-U55 and -U65: 599 layers")
    blocks = [100 * abs(case.error) for case in found if ": block" in case.name]
    assert (len(blocks), f"{len(totals)} networks") == (599, number(said, r"(\d+ networks)"))
    check_bound(number(said, r"within ([\d.]+) % on average"), sum(blocks) / len(blocks))
    check_bound(number(said, r"networks within ([\d.]+) %"), 100 * max(map(abs, totals.values())))
