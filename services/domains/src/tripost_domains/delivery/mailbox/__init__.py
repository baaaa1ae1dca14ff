"""The mailbox agent: durable delivery to Maildirs."""
