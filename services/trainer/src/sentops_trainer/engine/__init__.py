"""What computes: the only package that loads torch, transformers and scikit-learn."""
