"""The documents about units: receipts, failures, claims and read sessions. All others read `repository.ledger`."""
