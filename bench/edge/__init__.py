"""What edge alone costs: CPU a message, memory a session, and whom it serves under a crowd; beside other servers."""
