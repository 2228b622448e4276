"""Every platform that Vitrin speaks, by its name. A new platform adds its folder and one line here."""

from collections.abc import Mapping
from types import MappingProxyType

from vitrin.platforms.base import PlatformSpec
from vitrin.platforms.meta.channel import SPEC as META
from vitrin.platforms.pinterest.channel import SPEC as PINTEREST

PLATFORMS: Mapping[str, PlatformSpec] = MappingProxyType({spec.name: spec for spec in (META, PINTEREST)})
