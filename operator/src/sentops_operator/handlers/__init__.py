"""What kopf tells us, as keys to converge.

Only event handlers: they put no finalizer and no annotation on anybody's objects, and a lost event costs time only.
"""
