"""What a service keeps of a brand: declared table by table, with its age, and given to the brand as an export."""

from vitrin.kit.brand_data.declared import Partitioned, State, Swept, Table
from vitrin.kit.brand_data.export import BrandExport
from vitrin.kit.brand_data.http import export_router
from vitrin.kit.brand_data.purge import Purger

__all__ = ["BrandExport", "Partitioned", "Purger", "State", "Swept", "Table", "export_router"]
