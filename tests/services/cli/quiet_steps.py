"""Somebody who watches a backup and says nothing; a test overrides what it wants to act on."""


class QuietSteps:
    def step(self, what: str, total: int | None = None) -> None:
        pass

    def advance(self, count: int) -> None:
        pass

    def note(self, line: str) -> None:
        pass
