"""The read route: rows from the Storage Read API, encoded in this process."""
