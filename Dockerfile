# syntax=docker/dockerfile:1
# The gateway alone, without its sandbox:
#   docker build --tag tracseq-gateway .
#   docker run --publish 8000:8000 --volume ./gateway.toml:/etc/tracseq/gateway.toml:ro tracseq-gateway \
#       twistd --nodaemon --pidfile= tracseq-gateway --config /etc/tracseq/gateway.toml

FROM python:3.13-slim AS build
WORKDIR /source
COPY . .
# Listing the plugins once, as root, writes Twisted's plugin cache, which the gateway's own user could not.
RUN python -m venv /opt/tracseq-gateway \
    && /opt/tracseq-gateway/bin/pip install --no-cache-dir --disable-pip-version-check . \
    && /opt/tracseq-gateway/bin/twistd --help >/dev/null

FROM python:3.13-slim
COPY --from=build /opt/tracseq-gateway /opt/tracseq-gateway
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent gateway
ENV PATH=/opt/tracseq-gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=5s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/health/live', timeout=4)"]
CMD ["twistd", "--nodaemon", "--pidfile=", "tracseq-gateway"]
