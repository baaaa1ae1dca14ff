"""The SMTP session as one table of states and events; pure."""
