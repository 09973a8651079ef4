"""One module per part, found by axis and kind."""
