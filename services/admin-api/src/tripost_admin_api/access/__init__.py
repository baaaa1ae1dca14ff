"""Operators, tokens, audit: who may do what."""
