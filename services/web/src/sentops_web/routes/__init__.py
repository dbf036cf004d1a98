"""What web answers over HTTP: the API, the page, the documentation."""
