"""The HTTP edge that every service shares: application factory, problem details, access, serving."""

from sentops_core.http.app import create_app
from sentops_core.http.auth import BearerTokens, bearer_token
from sentops_core.http.health import Readiness
from sentops_core.http.serve import serve

__all__ = ["BearerTokens", "Readiness", "bearer_token", "create_app", "serve"]
