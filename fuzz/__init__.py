"""Fuzzing of what reads the octets of strangers: see README.md beside this file."""
