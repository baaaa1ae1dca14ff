"""Domains: mailboxes, relay, the queue, bounces. See app.py for how its parts are joined."""
