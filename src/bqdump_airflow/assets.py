"""Exported tables as assets: what DAGs are scheduled on, and where the documents of a place are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow.sdk import Asset, AssetAlias

# The tables of an export are known once it has run, so that their events are those of one alias.
EXPORTED = AssetAlias("bqdump")


def place_of(settings: Mapping[str, Any]) -> str:
    """The address of the place: gs://bucket/prefix, or the absolute path of a folder.

    Raises ValueError where neither `bucket` nor `to` is set.
    """
    if to := str(settings.get("to") or ""):
        return to.rstrip("/") if "://" in to else str(Path(to).absolute())
    if not settings.get("bucket"):
        raise ValueError("settings: neither bucket nor to is set. Set one of them, also where bqdump.toml has it.")
    return "/".join(filter(None, ("gs:/", settings["bucket"], str(settings.get("prefix") or "").strip("/"))))


def exported_table(table: str, settings: Mapping[str, Any]) -> Asset:
    """The asset of a table, of which each export is an event. table: its name, in a set with its dataset."""
    place = place_of(settings).removeprefix("gs://")
    name = f"{settings['dataset']}.{table}" if isinstance(settings.get("dataset"), str) and "." not in table else table
    return Asset(name=f"{place}/{name}", uri=f"x-bqdump://{place}/{name}", group="bqdump")
