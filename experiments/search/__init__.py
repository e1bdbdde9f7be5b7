"""What search at test time brings: each method beside best of n at equal compute, and how much previews say."""
