"""Training again without being told: what is known, what follows, and carrying it out."""
