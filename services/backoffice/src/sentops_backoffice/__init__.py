"""The staff service: datasets, training, versions, audit."""
