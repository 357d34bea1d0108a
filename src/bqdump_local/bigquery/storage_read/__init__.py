"""The Storage Read API on the stand-in's tables: read sessions, and streams of Arrow record batches over gRPC."""
