"""What all mechanisms say of octets that have no place in their exchange."""


class Malformed(ValueError):
    """It is not what the mechanism has at this place."""
