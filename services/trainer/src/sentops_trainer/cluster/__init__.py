"""The substrate of a cluster: resources are custom resources, which the operator carries out; tables mirror them."""
