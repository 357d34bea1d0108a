"""The reference pages in docs/, and what else in the repository follows from the code. It is not part of the product.

`python -m bqdump_reference` writes them; a test compares them with the code.
"""
