"""The public service: predict, feedback, history, explanation."""
