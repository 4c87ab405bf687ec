"""What a visit owes the ledger, as conditions of a query: one place for all who ask (D1, D2)."""

from __future__ import annotations

from portal.visits.models import Visit

# The ledger is still to hear of it as it is.
LATE = Visit.answered_revision < Visit.revision
REFUSED = Visit.answer_outcome == "refused"
# The ledger does not know of it as it is: it was not told yet, or said no. Without what a person dropped: see ``dropped_at``.
OWED = LATE | REFUSED
