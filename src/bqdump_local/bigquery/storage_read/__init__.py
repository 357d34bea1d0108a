"""The Storage Read API for the stand-in's tables: read sessions, and streams of Arrow record batches over gRPC."""
