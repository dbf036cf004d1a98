"""The page's words."""

from sentops_core.http.i18n import load_tables

TABLES = load_tables("sentops_web")
