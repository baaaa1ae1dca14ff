"""Small shared state with expiry (greylist triplets, bans). A port, the JetStream KV adapter, an in-memory fake."""
