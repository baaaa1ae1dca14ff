"""SASL mechanisms that do not show the password: what domains answers to each step of their exchanges."""
