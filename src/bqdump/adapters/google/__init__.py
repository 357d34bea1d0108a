"""What Google's clients share: credentials, connections, addresses, and their errors as bqdump's."""
