"""One module per SMTP command: what is decided there."""
