"""The lab's musical world: songs composed from facts, rendered, damaged, and described in words."""
