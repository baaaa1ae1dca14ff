"""Domains, mailboxes, aliases, passwords, relay rules: where a recipient leads."""
