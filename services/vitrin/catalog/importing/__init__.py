"""Catalog files as streams of records: no database, no clock, constant memory."""

from vitrin.catalog.importing.errors import FileRefused
from vitrin.catalog.importing.formats import OF_A_SHOP, ImportFile, ImportFormat, choose_format
from vitrin.catalog.importing.records import ImportDefaults, ImportRecord, Seen, SeenInProcess

__all__ = [
    "OF_A_SHOP",
    "FileRefused",
    "ImportDefaults",
    "ImportFile",
    "ImportFormat",
    "ImportRecord",
    "Seen",
    "SeenInProcess",
    "choose_format",
]
