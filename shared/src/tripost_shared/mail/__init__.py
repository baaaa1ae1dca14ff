"""The vocabulary of mail (RFC 5321 §2.3, RFC 5598): values without input or output."""
