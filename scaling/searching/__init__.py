"""What all methods of search stand on: prompts side by side, what was found of each, and what it cost."""
