"""The control-plane API, a module per subject."""
