"""The mailbox agent and the relay agent."""
