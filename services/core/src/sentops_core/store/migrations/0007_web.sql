-- works-with: 2
-- Votes taken back. The vote itself leaves feedback; this remembers that an older one must not come back, since votes
-- wait in spools and arrive in any order and any number of times.
CREATE TABLE withdrawn_votes (
    prediction_id  uuid        NOT NULL,
    client         text        NOT NULL,
    withdrawal_id  uuid        NOT NULL,             -- UUIDv7: it undoes the votes with a smaller vote_id
    withdrawn_at   timestamptz NOT NULL,
    predicted_at   timestamptz NOT NULL,             -- of the prediction; both go at the same age
    PRIMARY KEY (prediction_id, client)
);
CREATE INDEX withdrawn_votes_client ON withdrawn_votes (client);
