"""Every model of the POS side, imported once so that metadata is complete."""

from portal.audit import models as audit
from portal.checkout import models as checkout
from portal.identity import models as identity
from portal.link import models as link
from portal.operations import models as operations
from portal.payment_types import models as payment_types
from portal.stores import models as stores
from portal.tables import floor_models as floor
from portal.tables import models as tables
from portal.terminals import models as terminals
from portal.visits import models as visits

__all__ = [
    "audit",
    "checkout",
    "floor",
    "identity",
    "link",
    "operations",
    "payment_types",
    "stores",
    "tables",
    "terminals",
    "visits",
]
