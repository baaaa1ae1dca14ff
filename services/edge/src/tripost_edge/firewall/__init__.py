"""Who may connect; pure."""
