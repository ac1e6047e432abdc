"""Several designs of one chip in a search: accuracy does not depend on them, costs do."""
