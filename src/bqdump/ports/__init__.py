"""What bqdump works with: a warehouse that exports tables, a reader and an encoder, a store that keeps objects.

A module for each, so that a command imports what it works with. One contract suite for each (tests/contract) runs over
every adapter; what a docstring promises here is tested there.
"""
