"""The mapper: the best mapping of a layer, exactly."""
