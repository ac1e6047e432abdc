"""Fingerprints of the presets, by which caches, ledgers and runs of earlier versions are known again."""

from __future__ import annotations

import pytest

from hwmodel import list_accelerators, load_accelerator

#: Presets that were there before fields which a fingerprint has only where a chip uses them.
EARLY = {
    "a100": "2a9565ca066099bb",
    "bitfusion": "095e3b62739781e0",
    "colonnade": "d1ac63c33b5d8e8c",
    "cpu_avx512": "4ec9bfb0afb0c7ac",
    "edge_npu": "ac970b26c74c0808",
    "eyeriss": "2263ae7eecadf3c9",
    "eyeriss_v2": "3d5b8b7c919cf2f5",
    "h100": "1b919772d03282d7",
    "h200": "ff8a6718a0d17b1a",
    "loop_nest": "5fd67adc551a4eed",
    "nvdla_large": "5e111c477c91ceca",
    "stripes": "d5a4b6c717738c93",
    "tpu_like": "fae3efada380518c",
    "tpu_v1": "6682747784dfdfef",
}
LATER = {
    "ascend_like": "39b5ea0786bd3752",
    "cortex_m7": "8b1f3bfed560e4e7",
    "edge_tpu_like": "d5654a3c49c881b5",
    "ethos_u55_128": "b67d31b2eac6db45",
    "ethos_u55_256": "64d28c13a0a86b3f",
    "ethos_u55_32": "4c7917c999d5fb7b",
    "ethos_u55_64": "feb7979d44a8b249",
    "ethos_u65_256": "b0269fc6518770c3",
    "gemmini": "ac64ab377b44dff0",
    "jia_cim": "416c29acd6e288d9",
    "meta_like": "9fb5c569531b24e7",
    "mpic": "74836c3923d6baf7",
    "simba": "52559219dd43907d",
    "tpu_v4i": "24ff906e13310f11",
}


@pytest.mark.parametrize(("name", "fingerprint"), (EARLY | LATER).items())
def test_presets_are_known_again(name: str, fingerprint: str) -> None:
    """A new number of a preset, or a field that a fingerprint has at its default, makes every earlier result
    unknown: change a line here only with the numbers of that preset."""
    assert load_accelerator(name).fingerprint == fingerprint


def test_every_preset_is_known() -> None:
    assert sorted(EARLY | LATER) == list_accelerators()
