"""Commands around exports: each module defines the command of its name."""
