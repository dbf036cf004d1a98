-- works-with: 2
-- The labelling queue: texts that wait for people, who has which just now, and what they said.
CREATE TABLE labelling_items (
    id               bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    content_hash     bytea       UNIQUE,               -- one text is one item; NULL once the text is gone
    text             text,                             -- NULL after erasure, or after retention where nobody decided
    language         text,
    prediction_id    uuid,                             -- the answer that brought it here; NULL: written by an admin
    predicted_at     timestamptz,
    predicted_label  text,
    predicted_score  real,
    model_version    text,
    candidate_label  text,                             -- where a candidate in the shadow answered otherwise
    candidate_version text,
    reason           text        NOT NULL CHECK (reason IN ('disagreement', 'contested', 'uncertain', 'random', 'given')),
    drawn            boolean     NOT NULL DEFAULT false, -- of the random share, whatever else it is
    value            real        NOT NULL,             -- sentops_core.domain.labelling.worth
    state            text        NOT NULL DEFAULT 'open'
                     CHECK (state IN ('open', 'contested', 'done', 'dropped', 'expired')),
    opinions         integer     NOT NULL DEFAULT 0,   -- labels given, skips not counted
    label            text,                             -- what was agreed or decided
    decided_by       text,                             -- NULL where the annotators agreed by themselves
    decided_at       timestamptz,
    gold_label       text,                             -- known for certain: annotators are measured by it
    gold_at          timestamptz,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX labelling_items_next ON labelling_items ((opinions > 0) DESC, value DESC, id) WHERE state = 'open';
CREATE INDEX labelling_items_drawn ON labelling_items ((opinions > 0) DESC, id) WHERE state = 'open' AND drawn;
CREATE INDEX labelling_items_gold ON labelling_items (id) WHERE gold_label IS NOT NULL;
CREATE INDEX labelling_items_state ON labelling_items (state, id DESC);
CREATE INDEX labelling_items_predicted ON labelling_items (predicted_at);

-- The last word of one annotator on one item; undoing takes it away, the audit log keeps that it was said.
CREATE TABLE labelling_votes (
    item        bigint      NOT NULL REFERENCES labelling_items (id) ON DELETE CASCADE,
    annotator   text        NOT NULL,
    label       text,                                 -- NULL: skipped
    note        text,
    voted_at    timestamptz NOT NULL,
    PRIMARY KEY (item, annotator)
);
CREATE INDEX labelling_votes_annotator ON labelling_votes (annotator, voted_at DESC);

-- Who was given which item; after the time limit it may be given to another, and a late answer is still taken.
CREATE TABLE labelling_claims (
    item        bigint      NOT NULL REFERENCES labelling_items (id) ON DELETE CASCADE,
    annotator   text        NOT NULL,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (item, annotator)
);
CREATE INDEX labelling_claims_annotator ON labelling_claims (annotator, expires_at);

-- One row: how the queue works, and when it last looked for new texts.
CREATE TABLE labelling_settings (
    singleton     boolean          PRIMARY KEY DEFAULT true CHECK (singleton),
    opinions      integer          NOT NULL DEFAULT 1 CHECK (opinions BETWEEN 1 AND 5),
    random_share  double precision NOT NULL DEFAULT 0.2 CHECK (random_share BETWEEN 0 AND 1),
    gold_share    double precision NOT NULL DEFAULT 0.1 CHECK (gold_share BETWEEN 0 AND 0.5),
    claim_minutes integer          NOT NULL DEFAULT 15 CHECK (claim_minutes BETWEEN 1 AND 1440),
    filled_at     timestamptz      NOT NULL DEFAULT 'epoch'
);
INSERT INTO labelling_settings DEFAULT VALUES;

-- What feeds the queue: unsure answers, and what candidates in the shadow said.
CREATE INDEX predictions_uncertain ON predictions (score) WHERE score < 0.8 AND NOT shadow AND text IS NOT NULL;
CREATE INDEX predictions_shadow ON predictions (created_at DESC) WHERE shadow;

-- Staff look at votes. A vote set right is refused and carries the right label, so that older programs leave it out.
ALTER TABLE feedback
    ADD COLUMN corrected_label text,
    ADD COLUMN reviewed_by text,
    ADD COLUMN reviewed_at timestamptz;
CREATE INDEX feedback_status_recent ON feedback (status, voted_at DESC);
CREATE INDEX feedback_vote ON feedback (vote_id);

-- Whose votes count nowhere until a person lets them again.
CREATE TABLE quarantined_sources (
    kind            text        NOT NULL CHECK (kind IN ('client', 'source')),
    name            text        NOT NULL,
    note            text        NOT NULL DEFAULT '',
    evidence_text   text        NOT NULL DEFAULT '',   -- the figures that were on the page when it was decided
    quarantined_by  text        NOT NULL,
    quarantined_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
