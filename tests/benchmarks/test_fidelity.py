"""The replay of reference files: tables, JSON, exit codes; with a small replay of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import fidelity
from benchmarks.replays import gemm
from benchmarks.replays.case import Case
from hwmodel import Layer
from hwmodel.errors import LayerError

SCRIPT = Path(fidelity.__file__)
#: (M, N, K, milliseconds): the replay below counts MACs instead.
GEMM = {"columns": ["M", "N", "K", "milliseconds"], "rows": [[2, 3, 4, 24.0], [2, 2, 2, 10.0], [1, 1, 5, 4.0]]}


def macs(data: dict) -> list[Case]:
    """A replay: MACs of matrix products through the public API."""
    cases = []
    for m, n, k, reference in data["rows"]:
        layer = Layer(name="x", kind="linear", dims={"B": m, "K": n, "C": k})
        cases.append(Case(name=f"{m}x{n}x{k}", reference=reference, prediction=layer.macs))
    return cases


@pytest.fixture
def own_replay(monkeypatch):
    module = ModuleType("benchmarks.replays.gemm")
    module.replay = macs
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def write(folder: Path, data: object) -> Path:
    path = folder / "file.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_json_has_every_case_and_the_absolute_errors(tmp_path, capsys, own_replay):
    assert fidelity.main(["gemm", str(write(tmp_path, GEMM)), "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    errors = [24 / 24 - 1, 8 / 10 - 1, 5 / 4 - 1]
    assert [case["error"] for case in data["cases"]] == errors
    assert [(c["name"], c["reference"], c["prediction"]) for c in data["cases"]][1] == ("2x2x2", 10.0, 8)
    assert data["max"] == 0.25
    assert data["mean"] == pytest.approx((0 + 0.2 + 0.25) / 3)
    assert data["median"] == pytest.approx(0.2)


def test_the_table_ends_with_max_mean_and_median(tmp_path, capsys, own_replay):
    assert fidelity.main(["gemm", str(write(tmp_path, GEMM))]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["2x2x2", "10", "8", "-20.00%"]
    assert [line.split()[1] for line in lines[-3:]] == ["max", "mean", "median"]
    assert lines[-3].split()[-1] == "25.00%"


def test_a_reference_of_zero():
    assert Case(name="x", reference=0, prediction=0).error == 0
    assert Case(name="x", reference=0, prediction=7).error == 7


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a mapping, but is a list"),
        ({"rows": []}, "it must have columns, rows, but lacks columns"),
        ({"bits": [], "cycles": []}, "It looks like haq."),
        ({"columns": [], "rows": []}, "holds no cases"),
        ({"columns": [], "rows": [[1, 2]]}, "is not in the format of gemm: ValueError"),
        ({"columns": [], "rows": [[0, 1, 1, 1.0]]}, "`B >= 1` must hold"),
        ({"columns": [], "rows": [[1, 1, 1, float("nan")]]}, "must be finite"),
        ({"columns": [], "rows": [[1, 1, 1, 10**400]]}, "must be finite"),
        ({"columns": [], "rows": [[1, 1, 1, "fast"]]}, "must be finite numbers, but got reference='fast'"),
        ({"columns": [], "rows": [[1, 1, 1, None]]}, "must be finite"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_file_of_another_format_is_an_error(tmp_path, capsys, own_replay, data, said):
    path = write(tmp_path, data)
    assert fidelity.main(["gemm", str(path), "--json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"Error: {path}: ")
    assert said in err


def test_absent_files_and_replays_are_errors(tmp_path, capsys, monkeypatch):
    assert fidelity.main(["gemm", str(tmp_path / "absent.json")]) == 3
    assert "cannot be read" in capsys.readouterr().err
    monkeypatch.setitem(fidelity.FORMATS, "other-kind", fidelity.Format("other.json", False, keys=("rows",)))
    assert fidelity.main(["other-kind", str(write(tmp_path, GEMM))]) == 3
    assert "benchmarks/replays/other_kind.py is absent" in capsys.readouterr().err


def test_errors_of_the_model_keep_their_message(tmp_path, capsys, own_replay):
    def refuse(data):
        raise LayerError("layer 'x': no")

    own_replay.replay = refuse
    assert fidelity.main(["gemm", str(write(tmp_path, GEMM))]) == 3
    assert "layer 'x': no" in capsys.readouterr().err


SYSTOLIC = {"ifmap_h": 9, "ifmap_w": 9, "filter_h": 3, "filter_w": 3, "channels": 2, "filters": 4, "stride": 1}


@pytest.mark.parametrize(
    ("shape", "row", "said"),
    [
        ({"stride": 0}, {}, "layer 'a': `stride >= 1` must hold, but got 0"),
        ({}, {"rows": 8.5}, "`rows, columns >= 1` must hold (integers), but got 8.5 x 4"),
        ({}, {"rows": "8"}, "`rows, columns >= 1` must hold (integers), but got '8' x 4"),
        ({}, {"layer": "b"}, "is not in the format of scalesim: it lacks 'b'"),
        ({}, {"cycles": "many"}, "both values must be finite numbers"),
    ],
)
def test_what_breaks_a_row_is_said(tmp_path, capsys, shape, row, said):
    rows = [{"dataflow": "os", "rows": 4, "cols": 4, "layer": "a", "cycles": 1, **row}]
    path = write(tmp_path, {"layers": {"a": {**SYSTOLIC, **shape}}, "rows": rows})
    assert fidelity.main(["scalesim", str(path)]) == 3
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("dtype", "width"), [("fp16", 16), ("int8", 8), ("fp8_e4m3", 8), ("bfloat16", 16)])
def test_the_width_of_a_number_format(dtype, width):
    assert gemm.width_bits(dtype) == width


def test_a_number_format_without_a_width_is_an_error():
    with pytest.raises(ValueError, match="must state a width, like fp16 or int8, but is 'half'"):
        gemm.width_bits("half")


def test_a_division_by_zero_is_said_of_the_file(tmp_path, capsys, own_replay):
    own_replay.replay = lambda data: [1 // 0]
    assert fidelity.main(["gemm", str(write(tmp_path, GEMM))]) == 3
    assert "is not in the format of gemm: ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), ([], 2), (["gemms", "x"], 2)])
def test_it_runs_as_a_script_from_any_folder(tmp_path, arguments, code):
    done = subprocess.run(
        [sys.executable, "-W", "error", str(SCRIPT), *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "KIND" in done.stdout + done.stderr


def test_the_script_refuses_another_format(tmp_path):
    path = write(tmp_path, [{"Layer": "CONV1"}])
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "eyeriss", str(path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "row 0 must have Layer, Processing Latency (ms), but lacks Processing Latency (ms)" in done.stderr
