"""Every test starts without mappings from earlier runs."""

import os

os.environ["HWMODEL_CACHE"] = "off"
