"""What bqdump knows without asking anybody: frozen types, pure planning, names, documents and errors."""
