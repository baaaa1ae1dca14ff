"""When a deferred delivery is tried again; pure."""
