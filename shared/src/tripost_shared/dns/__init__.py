"""DNS look-ups: a port, a caching resolver, and a zone table for tests."""
