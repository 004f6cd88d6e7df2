"""Language models in shards: what is trained, which rules decide, what was found."""
