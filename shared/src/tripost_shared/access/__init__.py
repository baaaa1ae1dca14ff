"""Access rules, decided: pure, so that edge and the explanation of admin-api say the same."""
