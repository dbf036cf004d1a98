"""Quality, drift and retraining decisions from predictions and feedback."""
