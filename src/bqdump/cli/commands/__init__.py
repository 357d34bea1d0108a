"""Commands on exports: each module defines the command of its name."""
