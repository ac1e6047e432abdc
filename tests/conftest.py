"""Every test starts without earlier mappings and the width of a terminal, and in CI with the same examples."""

import base64
import os

import pytest
from hypothesis import settings

os.environ["HWMODEL_CACHE"] = "off"
os.environ.pop("COLUMNS", None)  # tests that ask for no width see that of a pipe, whatever terminal they run in

# In CI a failure must be one of the change: the same examples every time. Elsewhere new ones are drawn. No test
# asserts a time.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")

#: A picture of one pixel.
DOT = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)


@pytest.fixture
def plain_figures(monkeypatch):
    """Reports whose figures are drawn, but stand as one pixel in the page and in `figures/`.

    To turn figures into PNGs takes most of the time of a report; what they are like is tested in `tests/reports`.
    """
    monkeypatch.setattr("reports.page.html.figure_bytes", lambda ax: DOT)
