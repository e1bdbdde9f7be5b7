"""What `experiments.lab.prove` measures by ear, and the page that it writes."""
