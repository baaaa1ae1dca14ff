"""Findings and policy become a verdict; pure."""
