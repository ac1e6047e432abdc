"""`hwmodel trace` and `cost` of language models, and of activations measured on data."""

import json

import pytest
from typer.testing import CliRunner

from reports.cli import app

D, N, H, L = 128, 2, 4, 32


def run(*arguments, code=0):
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize(("phase", "tokens"), [("prefill", L), ("decode", 1)])
def test_a_phase_is_traced_with_its_products(phase, tokens):
    data = json.loads(run("trace", "transformer", "--phase", phase, "--context", str(L), "--json").stdout)
    assert data["name"] == f"transformer:{phase}"
    assert data["matmuls"]["scores"] == {"layers": N, "products": N * H, "macs": N * tokens * L * D}
    assert data["matmuls"]["projection"]["macs"] == 4 * N * tokens * D * D


def test_the_summary_says_where_the_products_are():
    output = run("trace", "transformer").stdout
    assert f"{4 * N} projections" in output
    assert f"{H * N} Q·Kᵀ" in output
    assert "Q·Kᵀ" not in run("trace", "lenet5").stdout


def test_a_decode_step_is_priced():
    data = json.loads(
        run("cost", "transformer", "--hw", "edge_npu", "--phase", "decode", "--context", str(L), "--json").stdout
    )
    assert data["total"]["macs"] == N * (12 * D * D + 2 * L * D) + D * 256


def test_measured_density_lowers_the_energy_of_a_chip_that_gates():
    dense, measured = (
        json.loads(run("cost", "resnet8", "--hw", "eyeriss", "--json", *extra).stdout)["total"]
        for extra in ((), ("--measure-density", "digits"))
    )
    assert measured["effectual_macs"] < dense["effectual_macs"] == dense["macs"]
    assert measured["energy_pj"] < dense["energy_pj"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--phase", "decod"), "Did you mean"),
        (("--context", "8"), "needs --phase"),
        (("--phase", "decode", "--input", "1,8"), "--context instead of --input"),
        (("--phase", "decode", "--measure-density", "digits"), "not on tokens"),
        (("--measure-density", "digits"), "model of images"),
    ],
)
def test_options_that_do_not_fit_are_usage_errors(arguments, message):
    flat = " ".join(run("trace", "transformer", *arguments, code=2).output.replace("│", " ").split())
    assert message in flat
