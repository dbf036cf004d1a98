"""The substrate of one machine: runs are processes, resources are rows, models sit in slots of one server."""
