"""Listening sockets, TLS, the PROXY protocol, and the session class; aiosmtpd lives here only."""
