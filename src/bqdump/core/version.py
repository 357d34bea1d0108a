"""The version of bqdump."""

VERSION = "0.2.0"
