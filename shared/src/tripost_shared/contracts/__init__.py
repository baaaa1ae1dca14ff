"""What the services say to each other: one module per subject family, each with subject, question, answer, deadline."""
