"""How services ask each other: a port, the NATS adapter, an in-memory fake."""
