"""One module per check; none knows another."""
