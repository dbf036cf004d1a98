"""The Kubernetes operator: converges TrainingJob and ModelVersion."""
