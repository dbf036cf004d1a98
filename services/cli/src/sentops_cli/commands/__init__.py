"""One module per group of commands; each only reads its options and says its results."""
