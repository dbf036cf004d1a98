"""The control-plane API, the converge loop of one machine, and the training run."""
