"""What the front ends need ready: open ports, this process's place in a run, and the file of settings."""
