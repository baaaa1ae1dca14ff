"""The benchmark: what the running product does beside Postfix, on this machine, in alternating rounds."""
