"""The content store: octets of large or queued messages. A port, the JetStream adapter, an in-memory fake."""
