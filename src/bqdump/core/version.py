"""The version of bqdump."""

VERSION = "0.1.0"
