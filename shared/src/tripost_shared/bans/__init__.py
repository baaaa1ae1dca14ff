"""The bans that all replicas of edge see. A port, the adapter on JetStream KV, an in-memory fake."""
