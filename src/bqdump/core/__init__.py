"""Pure code without input and output: frozen types, planning, names, documents and errors."""
