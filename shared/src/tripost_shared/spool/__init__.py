"""SPOOL: accepted mail on disk until it is delivered or queued. A port, the JetStream adapter, an in-memory fake."""
