"""Deferred deliveries: model, transitions, back-off, scheduler."""
