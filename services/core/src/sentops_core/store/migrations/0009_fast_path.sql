-- works-with: 2
-- Which model answered: the full one, or the fast path's student. NULL before there was a choice.
ALTER TABLE predictions ADD COLUMN path text CHECK (path IN ('full', 'fast'));
