# syntax=docker/dockerfile:1

# The virtual environment moves from one stage to the other, so both use the same base.
FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/segments
COPY requirements/runtime.txt requirements/
RUN /opt/segments/bin/pip install --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY consumers consumers
COPY migrations migrations
COPY producers producers
COPY service service
RUN /opt/segments/bin/pip install --no-deps --no-build-isolation .

FROM python:3.12-slim
RUN useradd --system --uid 10001 --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin segments
COPY --from=build /opt/segments /opt/segments
COPY --from=build /build/LICENSE /build/NOTICE /opt/segments/
ENV PATH=/opt/segments/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /tmp
EXPOSE 8000
# No HEALTHCHECK: one image runs every role, and only `serve` answers HTTP. docker-compose.yml has one for it.
ENTRYPOINT ["segments"]
CMD ["--help"]
