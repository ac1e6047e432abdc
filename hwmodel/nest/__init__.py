"""Loop nests: mappings, what an array sees of a layer, and how often every memory is accessed."""
