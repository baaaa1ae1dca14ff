"""What the services of Tripost share: the vocabulary of mail, the contracts between services, and adapters."""
