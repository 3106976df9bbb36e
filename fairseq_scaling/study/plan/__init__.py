"""The jobs of a study: their commands, their order, their price."""
