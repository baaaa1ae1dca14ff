"""The typed configuration snapshot, watched through the KV bucket CONFIG."""
