"""The services that bqdump uses, as Protocols: warehouse, reader, encoder, store, and data reader.

Each is a module, so that a command imports only what it uses. One contract suite per port (tests/contract) runs against
every adapter and tests what the docstrings promise.
"""
