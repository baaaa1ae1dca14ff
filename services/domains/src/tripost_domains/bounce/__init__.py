"""Whether a failure is told, to whom, and the DSN's text; pure."""
