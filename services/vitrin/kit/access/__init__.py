"""Who may call: the replica of brands and keys that every service keeps, and the check on its HTTP door."""

from vitrin.kit.access.consumer import ACCESS_TOPICS, access_handler
from vitrin.kit.access.directory import KeyDirectory, ReplicaDirectory, brand_defaults
from vitrin.kit.access.install import install_access, install_outgoing
from vitrin.kit.access.principal import Principal
from vitrin.kit.access.records import BrandDefaults
from vitrin.kit.access.scopes import SCOPES

__all__ = [
    "ACCESS_TOPICS",
    "SCOPES",
    "BrandDefaults",
    "KeyDirectory",
    "Principal",
    "ReplicaDirectory",
    "access_handler",
    "brand_defaults",
    "install_access",
    "install_outgoing",
]
