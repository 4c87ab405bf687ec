"""Every model of the POS side, imported once so that metadata is complete."""

from portal.audit import models as audit
from portal.checkout import models as checkout
from portal.daycheck import models as daycheck
from portal.days import models as days
from portal.identity import models as identity
from portal.imports import models as imports
from portal.launch import models as launch
from portal.link import models as link
from portal.mapping import models as mapping
from portal.notices import models as notices
from portal.operations import models as operations
from portal.payment_types import models as payment_types
from portal.printing import models as printing
from portal.rollout import models as rollout
from portal.stores import models as stores
from portal.stores import template_models as store_templates
from portal.tables import floor_models as floor
from portal.tables import models as tables
from portal.terminal_api import models as terminal_api
from portal.terminals import models as terminals
from portal.visits import models as visits

__all__ = [
    "audit",
    "checkout",
    "daycheck",
    "days",
    "floor",
    "identity",
    "imports",
    "launch",
    "link",
    "mapping",
    "notices",
    "operations",
    "payment_types",
    "printing",
    "rollout",
    "store_templates",
    "stores",
    "tables",
    "terminal_api",
    "terminals",
    "visits",
]
