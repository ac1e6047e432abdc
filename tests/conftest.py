"""Every test starts without earlier mappings and the width of a terminal, and in CI with the same examples."""

import os

from hypothesis import settings

os.environ["HWMODEL_CACHE"] = "off"
os.environ.pop("COLUMNS", None)  # tests that ask for no width see that of a pipe, whatever terminal they run in

# In CI a failure must be one of the change: the same examples every time. Elsewhere new ones are drawn.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
