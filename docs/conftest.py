"""What pytest leaves alone here: only the pages' own examples are doctests."""

collect_ignore_glob = [
    "*.py",
    "_build/*",
    "auto_examples/*",
    "examples/*",
    "generated/*",
]
