"""Every test starts without mappings from earlier runs, and in CI with the same examples."""

import os

from hypothesis import settings

os.environ["HWMODEL_CACHE"] = "off"

# In CI a failure must be one of the change: the same examples every time. Elsewhere new ones are drawn.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
