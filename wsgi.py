"""For any WSGI server: ``wsgi:application`` (DATABASE_URL and LEDGER_DATABASE_URL are needed)."""

from portal.factory import create_wsgi
from portal.settings import Settings

application = create_wsgi(Settings.from_env())
