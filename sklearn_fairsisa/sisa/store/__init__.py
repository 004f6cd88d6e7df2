"""Where an ensemble keeps its rows, checkpoints and log."""
