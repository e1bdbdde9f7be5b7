"""Ways to spend compute on a prompt, each a file with its algorithm; `scaling.methods.registry` has their names."""
