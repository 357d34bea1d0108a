# syntax=docker/dockerfile:1
ARG PYTHON_VERSION=3.11

FROM python:${PYTHON_VERSION}-slim AS build
# Files get new modification times in the image. Unchecked bytecode stays valid anyway.
ENV PYC_INVALIDATION_MODE=UNCHECKED_HASH \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /build
# runtime, or read to include the read route: docker build --build-arg REQUIREMENTS=read .
ARG REQUIREMENTS=runtime
COPY requirements/tools.txt requirements/${REQUIREMENTS}.txt requirements/
RUN python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/tools.txt
RUN python -m uv venv /app && \
    python -m uv pip install --python /app/bin/python --compile-bytecode --require-hashes --no-deps -r "requirements/${REQUIREMENTS}.txt"
COPY pyproject.toml README.md LICENSE ./
COPY src/ src/
RUN python -m uv build --wheel --no-build-isolation --out-dir dist . && \
    python -m uv pip install --python /app/bin/python --compile-bytecode --no-deps --no-index dist/*.whl

FROM python:${PYTHON_VERSION}-slim
# The base image has no bytecode for the standard library, and user 65532 cannot write it at run time.
RUN python -m compileall -q --invalidation-mode unchecked-hash \
    -x '/(ensurepip|idlelib|lib2to3|site-packages|test|tests|turtledemo)/' \
    "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["bqdump"]
CMD ["run"]
