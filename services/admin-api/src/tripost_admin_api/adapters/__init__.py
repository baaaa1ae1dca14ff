"""One file per foreign library."""
