-- works-with: 2
-- What the trainer's MLflow mirror has said already, so that each round looks only at what changed. Nothing is lost with it:
-- a row that is missing is said again, and MLflow's own objects are found by their tags.
CREATE TABLE mlflow_mirror (
    kind  text        NOT NULL CHECK (kind IN ('experiment', 'training_job', 'model_version', 'aliases')),
    name  text        NOT NULL,
    seen  timestamptz NOT NULL,                      -- updated_at of the row that it was read from
    said  text        NOT NULL,                      -- hash of what MLflow was told; of an experiment: the mark left in it
    PRIMARY KEY (kind, name)
);
