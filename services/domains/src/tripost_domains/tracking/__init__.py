"""Facts become rows that operators can search."""
