"""Compute spent at test time: many candidates a prompt, the best of them, what each further one brings."""
