"""The words of the staff pages."""

from sentops_core.http.i18n import load_tables

TABLES = load_tables("sentops_backoffice")
