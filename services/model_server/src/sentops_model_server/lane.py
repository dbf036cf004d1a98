"""One line of waiting texts, the earliest due first, and how fast its workers get through it.

A text is due at its arrival plus what its request has asked for so far, at most half a second. A single text so
passes the tail of a large request, but nothing that arrived more than that half second before it.
"""

import heapq

from sentops_model_server.jobs import Job

_OVERTAKING_WINDOW = 0.5  # seconds
_SECONDS_PER_TOKEN = 0.0002  # a small int8 model on one core, until it is measured
_LEARNED_FROM_EACH = 0.05

Entry = tuple[float, int, Job, int, float]  # due, number, job, index of the text, its tokens


class Lane:
    """Not safe to share: whoever holds the queue's lock may use it."""

    def __init__(self, index: int, workers: int) -> None:
        self.index = index
        self.texts = 0
        self.seconds_per_token = _SECONDS_PER_TOKEN
        self._workers = workers
        self._entries: list[Entry] = []
        self._tokens = 0.0  # waiting, and being computed

    def put(self, job: Job, index: int, *, number: int, tokens: float, before: float) -> None:
        """`before`: tokens of the same request that come first."""
        due = self._due(job.submitted, before + tokens)
        heapq.heappush(self._entries, (due, number, job, index, tokens))
        self.texts += 1
        self._tokens += tokens
        job.waiting[self.index] += 1
        job.waiting_tokens[self.index] += tokens

    def take(self) -> Entry | None:
        """The next text whose client still waits."""
        while self._entries:
            entry = heapq.heappop(self._entries)
            job, tokens = entry[2], entry[4]
            if not job.cancelled:
                self.texts -= 1
                job.waiting[self.index] -= 1
                job.waiting_tokens[self.index] -= tokens
                return entry
        return None

    def put_back(self, entry: Entry) -> None:
        """One that was taken, as if it had not been."""
        heapq.heappush(self._entries, entry)
        self.texts += 1
        entry[2].waiting[self.index] += 1
        entry[2].waiting_tokens[self.index] += entry[4]

    def forget(self, job: Job) -> None:
        """Its texts make room at once; they are passed over when their turn comes."""
        self.texts -= job.waiting[self.index]
        self._tokens -= job.waiting_tokens[self.index]
        job.waiting[self.index], job.waiting_tokens[self.index] = 0, 0.0

    def done(self, tokens: float, seconds: float | None) -> None:
        """Computed, in so many seconds; None: it failed, which says nothing of the speed."""
        self._tokens -= tokens
        if seconds is not None:
            learned = seconds / tokens - self.seconds_per_token
            self.seconds_per_token += _LEARNED_FROM_EACH * learned

    def seconds_to_drain(self) -> float:
        return self._tokens * self.seconds_per_token / self._workers

    def seconds_until(self, now: float, tokens: float, within: float) -> float:
        """Until a request that comes now, of so many tokens in this lane, would be answered.

        Counts all that waits; only where that is too long for the client, what it would pass is left out, since
        that takes a look at every text.
        """
        own = tokens * self.seconds_per_token / self._workers
        if (most := self.seconds_to_drain() + own) <= within:
            return most
        due = self._due(now, tokens)
        behind = sum(one[4] for one in self._entries if one[0] > due and not one[2].cancelled)
        return most - behind * self.seconds_per_token / self._workers

    def _due(self, arrived: float, tokens: float) -> float:
        return arrived + min(tokens * self.seconds_per_token, _OVERTAKING_WINDOW)
