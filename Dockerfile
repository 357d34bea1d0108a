# The base image by its digest, which names the same content forever. To renew it, or for another one: docs/upgrade.md.
ARG BASE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${BASE} AS build
# Files get new modification times in the image. Unchecked bytecode stays valid anyway.
ENV PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# runtime; or with extras: read for the read route, verify for drills and checks, otel for OpenTelemetry:
# docker build --build-arg REQUIREMENTS="read otel" .
ARG REQUIREMENTS=runtime
COPY requirements/ requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/tools.txt
RUN for extra in ${REQUIREMENTS}; do set -- "$@" -r "requirements/$extra.txt"; done && \
    python -m uv venv /app && \
    python -m uv pip install --python /app/bin/python --compile-bytecode --require-hashes --no-deps "$@"
COPY pyproject.toml README.md LICENSE ./
COPY src/ src/
COPY deploy/terraform/ deploy/terraform/
COPY docs/ docs/
# The commit, which `bqdump --version` prints: docker build --build-arg REVISION="$(git rev-parse HEAD)" .
ARG REVISION=
RUN if [ -n "${REVISION}" ]; then printf '%s\n' "${REVISION}" > src/bqdump/REVISION; fi && \
    python -m uv build --wheel --no-build-isolation --out-dir dist . && \
    python -m uv pip install --python /app/bin/python --compile-bytecode --no-deps --no-index dist/*.whl && \
    chmod -R a-w /app

FROM ${BASE}
# The base image has no bytecode for the standard library, and user 65532 cannot write it at run time.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
    -x '/(ensurepip|idlelib|lib2to3|site-packages|test|tests|turtledemo)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /app /app
ARG REVISION=
LABEL org.opencontainers.image.title="bqdump" \
    org.opencontainers.image.description="pg_dump for BigQuery: exports a dataset to Cloud Storage" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="0.2.0" \
    org.opencontainers.image.revision="${REVISION}"
ENV PATH=/app/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["bqdump"]
CMD ["run"]
