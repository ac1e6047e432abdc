"""What each resource of a chip waits for, does and is followed by, under a mapping."""
