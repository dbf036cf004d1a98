# One recipe for every program of Sentops; the target picks the program:
#
#   docker build --target web --tag sentops-web .       web, backoffice, model, trainer, monitor, operator, cli or mlflow
#   make images REGISTRY=registry.example.org/team TAG=1.0.0
#
# Every image runs as user 10001 and needs nothing writable but /tmp and the volumes it is given. What a program depends on
# is one layer and our own code another, small one, so that an update fetches little.

ARG BASE=python:3.11-slim-bookworm
# Where torch comes from: "index" is PyTorch's own, for the backend named (cpu, cu130, ...); "wheels" is the CPU build in
# the folder or page that UV_FIND_LINKS names, for a builder that reaches no other index.
ARG TORCH_FROM=index

# ---- what builds: uv, the lock, and what each member asks for

FROM ${BASE} AS builder
ARG UV_VERSION=0.13.9
# Files get this date and bytecode has none in it, so that building again gives the same files. The folders that COPY makes
# have the time of the build; a newer Buildx levels those too: --output type=image,rewrite-timestamp=true.
ENV SOURCE_DATE_EPOCH=1704067200 \
    UV_PROJECT_ENVIRONMENT=/app \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_DEFAULT_GROUPS=1 \
    UV_NO_INSTALLER_METADATA=1 \
    UV_PYTHON=/usr/local/bin/python3 \
    UV_PYTHON_DOWNLOADS=never \
    PYC_INVALIDATION_MODE=UNCHECKED_HASH
RUN --mount=type=cache,target=/root/.cache/pip \
    python -m pip install --quiet --root-user-action=ignore "uv==${UV_VERSION}"
RUN groupadd --gid 10001 sentops \
    && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sentops \
    && mkdir /empty \
    && touch --date="@${SOURCE_DATE_EPOCH}" /empty /etc/passwd /etc/group
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY operator/pyproject.toml operator/
COPY services/backoffice/pyproject.toml services/backoffice/
COPY services/cli/pyproject.toml services/cli/
COPY services/core/pyproject.toml services/core/
COPY services/model_server/pyproject.toml services/model_server/
COPY services/monitor/pyproject.toml services/monitor/
COPY services/trainer/pyproject.toml services/trainer/
COPY services/web/pyproject.toml services/web/

# ---- what runs, before a program is in it

FROM ${BASE} AS runtime
ARG BASE
ARG VERSION=dev
ARG REVISION=unknown
COPY --from=builder /etc/passwd /etc/group /etc/
# Folders for volumes: a new volume takes over their owner.
COPY --from=builder --chown=10001:10001 /empty /var/lib/sentops
COPY --from=builder --chown=10001:10001 /empty /work
COPY --from=builder --chown=10001:10001 /empty /cache
ENV PATH=/app/bin:${PATH} \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
LABEL org.opencontainers.image.vendor="Sentops" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"

# ---- web
# Our own code is built without uv's cache, which would hand out the last build as long as pyproject.toml is the same.

FROM builder AS web-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-web \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM web-packages AS web-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-web \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS web
COPY --from=web-packages /app /app
COPY --from=web-code /own /
ENV SENTOPS_WEB_HOST=0.0.0.0 SENTOPS_WEB_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['SENTOPS_WEB_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "sentops_web"]
LABEL org.opencontainers.image.title="sentops-web" \
      org.opencontainers.image.description="Ask, correct and look back: the public service of Sentops"

# ---- backoffice

FROM builder AS backoffice-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-backoffice \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM backoffice-packages AS backoffice-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-backoffice \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS backoffice
COPY --from=backoffice-packages /app /app
COPY --from=backoffice-code /own /
ENV SENTOPS_BACKOFFICE_HOST=0.0.0.0 SENTOPS_BACKOFFICE_PORT=8001
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['SENTOPS_BACKOFFICE_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "sentops_backoffice"]
LABEL org.opencontainers.image.title="sentops-backoffice" \
      org.opencontainers.image.description="Datasets, training, versions and audit: the staff service of Sentops"

# ---- model

FROM builder AS model-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-model-server \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM model-packages AS model-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-model-server \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS model
COPY --from=model-packages /app /app
COPY --from=model-code /own /
ENV SENTOPS_MODEL_HOST=0.0.0.0 SENTOPS_MODEL_PORT=8501
EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['SENTOPS_MODEL_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "sentops_model_server"]
LABEL org.opencontainers.image.title="sentops-model" \
      org.opencontainers.image.description="Inference only: serves one artefact by its digest"

# ---- trainer

FROM builder AS trainer-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-trainer \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM trainer-packages AS trainer-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-trainer \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

# torch is not in the lock, whose rules (no torch) are therefore left out here: its default build carries gigabytes of CUDA.
FROM trainer-packages AS torch-from-index
ARG TORCH_VERSION=2.13.0
ARG TORCH_BACKEND=cpu
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --no-config --python /app --torch-backend "${TORCH_BACKEND}" "torch==${TORCH_VERSION}" \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM trainer-packages AS torch-from-wheels
ARG TORCH_VERSION=2.13.0
ARG UV_FIND_LINKS
RUN --mount=type=cache,target=/root/.cache/uv \
    uv pip install --quiet --no-config --python /app "torch==${TORCH_VERSION}+cpu" \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

# hadolint ignore=DL3006
FROM torch-from-${TORCH_FROM} AS trainer-packages-and-torch

FROM runtime AS trainer
COPY --from=trainer-packages-and-torch /app /app
COPY --from=trainer-code /own /
ENV SENTOPS_TRAINER_HOST=0.0.0.0 SENTOPS_TRAINER_PORT=8502
EXPOSE 8502
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['SENTOPS_TRAINER_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "sentops_trainer"]
LABEL org.opencontainers.image.title="sentops-trainer" \
      org.opencontainers.image.description="The control-plane API of Sentops, and the training runs it starts"

# ---- monitor

FROM builder AS monitor-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-monitor \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM monitor-packages AS monitor-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-monitor \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS monitor
COPY --from=monitor-packages /app /app
COPY --from=monitor-code /own /
ENV SENTOPS_MONITOR_HOST=0.0.0.0 SENTOPS_MONITOR_PORT=8003
EXPOSE 8003
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['SENTOPS_MONITOR_PORT'] + '/health/live', timeout=4)"]
ENTRYPOINT ["python", "-m", "sentops_monitor"]
LABEL org.opencontainers.image.title="sentops-monitor" \
      org.opencontainers.image.description="Quality from feedback, and the housekeeping of the database"

# ---- operator

# Of the Kubernetes client's thousand generated modules the operator loads a handful: no bytecode for those (47 MB).
FROM builder AS operator-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-operator \
    && find /app/lib -path '*/kubernetes/*client/*/__pycache__/*' -delete \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM operator-packages AS operator-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-operator \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS operator
COPY --from=operator-packages /app /app
COPY --from=operator-code /own /
ENV SENTOPS_OPERATOR_HOST=0.0.0.0 SENTOPS_OPERATOR_PORT=8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import os, urllib.request as http; http.urlopen('http://127.0.0.1:' + os.environ['SENTOPS_OPERATOR_PORT'] + '/healthz', timeout=4)"]
ENTRYPOINT ["python", "-m", "sentops_operator"]
LABEL org.opencontainers.image.title="sentops-operator" \
      org.opencontainers.image.description="Converges TrainingJob and ModelVersion in a Kubernetes cluster"

# ---- cli: the command, and what backs up and restores

FROM builder AS cli-packages
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-workspace --package sentops-cli \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM cli-packages AS cli-code
RUN --mount=type=bind,target=/src \
    UV_COMPILE_BYTECODE=0 uv sync --quiet --no-cache --frozen --no-dev --no-editable --package sentops-cli \
    && mkdir /own && cp --recursive --parents /app/lib/python3*/site-packages/sentops* /own \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /own -p / /own \
    && find /own -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS cli
COPY --from=cli-packages /app /app
COPY --from=cli-code /own /
ENV SENTOPS_HOME=/tmp/sentops
HEALTHCHECK NONE
ENTRYPOINT ["python", "-m", "sentops_cli"]
CMD ["--help"]
LABEL org.opencontainers.image.title="sentops-cli" \
      org.opencontainers.image.description="The sentops command: ask, train, roll back, back up, restore"

# ---- mlflow: the tracking server, somebody else's program with a lock of its own

FROM builder AS mlflow-packages
COPY compose/mlflow/pyproject.toml compose/mlflow/uv.lock compose/mlflow/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --quiet --frozen --no-dev --no-install-project --project compose/mlflow \
    && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM runtime AS mlflow
COPY --from=mlflow-packages /app /app
COPY --from=builder --chown=10001:10001 /empty /var/lib/mlflow
ENV MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as http; http.urlopen('http://127.0.0.1:5000/health', timeout=4)"]
ENTRYPOINT ["mlflow", "server", "--host", "0.0.0.0", "--port", "5000", "--workers", "1", "--uvicorn-opts", "--log-level warning", "--serve-artifacts", "--artifacts-destination", "/var/lib/mlflow"]
LABEL org.opencontainers.image.title="sentops-mlflow" \
      org.opencontainers.image.description="The MLflow tracking server that trainings and versions are mirrored to"
