"""The embedded cluster: every service a process of its own, on one machine, by one command."""
