"""Counts in windows of time that all replicas share. A port, the JetStream adapter, a fake, the sliding estimate."""
