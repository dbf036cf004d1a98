"""What every Sentops program shares: the pure core, the store, HTTP and artefacts."""
