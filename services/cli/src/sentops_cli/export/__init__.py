"""Moving a platform from one machine to Kubernetes: documents, values, and what to do in which order."""
