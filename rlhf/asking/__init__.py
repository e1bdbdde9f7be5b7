"""Teaching a reward by questions about what a generator makes: which pairs, who answers, what was learned."""
