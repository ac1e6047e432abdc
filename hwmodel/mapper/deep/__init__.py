"""The best mapping on any number of levels: a shortest path over tiles."""
