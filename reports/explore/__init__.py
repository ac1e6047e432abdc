"""`hwmodel explore`: designs of a chip, and what runs on them."""
