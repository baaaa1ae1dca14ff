"""The relay agent: next hops, and the SMTP client that sends octets as they are."""
