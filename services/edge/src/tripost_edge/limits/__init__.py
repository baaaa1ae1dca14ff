"""Counters and rates; pure."""
