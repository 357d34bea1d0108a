"""The commands as functions, for schedulers and notebooks. Import them from `bqdump`.

Settings are keyword arguments, or are read from the file `config`; environment variables are not read. Every function
blocks until it is done, even if an event loop is running, and raises a BqdumpError for every failure that can be
expected. No function prints, exits, sets a signal handler or configures logging. Log records go to the logger `bqdump`.
"""
