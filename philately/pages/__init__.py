"""Pages: form in, one domain call or query, response out."""
