# syntax=docker/dockerfile:1
# The gateway, and as another target the sandbox's services, one in each container:
#
#   docker build --tag tracseq-gateway .
#   docker build --tag tracseq-gateway-sandbox --target sandbox .
#
# The base is pinned by its tag. Pin it by digest where builds must be the same to the byte:
# --build-arg PYTHON_IMAGE=python:3.13.9-slim-bookworm@sha256:...
ARG PYTHON_IMAGE=python:3.13.9-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /source
COPY LICENSE README.md pyproject.toml setup.py ./
COPY tracseq_gateway tracseq_gateway
COPY twisted twisted
# The environment has no pip of its own, for what builds it stays here, and none of the tests that packages bring along
# (a third of its 70 MB). Listing the plugins once, as root, writes Twisted's plugin cache, which the gateway's own user
# could not.
RUN python -m pip wheel --quiet --no-cache-dir --no-deps --wheel-dir /wheels . \
    && python -m venv --without-pip /opt/tracseq-gateway \
    && python -m pip --python /opt/tracseq-gateway/bin/python install --quiet --no-cache-dir "$(echo /wheels/*.whl)[compression]" \
    && find /opt/tracseq-gateway -type d \( -name test -o -name tests \) -prune -exec rm -rf {} + \
    && /opt/tracseq-gateway/bin/twistd --help >/dev/null

FROM build AS build-sandbox
RUN python -m pip --python /opt/tracseq-gateway/bin/python install --quiet --no-cache-dir "$(echo /wheels/*.whl)[sandbox]"

# What both have: a user without rights, and an interpreter that writes nothing.
FROM ${PYTHON_IMAGE} AS runtime
RUN python -m pip uninstall --quiet --yes --root-user-action=ignore pip \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gateway
ENV PATH=/opt/tracseq-gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
STOPSIGNAL SIGTERM
LABEL org.opencontainers.image.vendor="TracSeq" \
      org.opencontainers.image.licenses="MIT"

FROM runtime AS sandbox
LABEL org.opencontainers.image.title="TracSeq Gateway sandbox" \
      org.opencontainers.image.description="One of seven stand-in services with demo data. Not for production"
COPY --from=build-sandbox /opt/tracseq-gateway /opt/tracseq-gateway
RUN install --directory --owner=gateway --group=gateway --mode=0700 /var/lib/tracseq-sandbox
USER 10001:10001
# Which service it is: SANDBOX_SERVICE. Its port, if not the service's own: PORT.
ENV SANDBOX_DATA=/var/lib/tracseq-sandbox \
    HOST=0.0.0.0
VOLUME ["/var/lib/tracseq-sandbox"]
CMD ["python", "-m", "tracseq_gateway.sandbox"]

# The last is what is built unless a target is named.
FROM runtime AS gateway
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="TracSeq Gateway" \
      org.opencontainers.image.description="API gateway of a sequencing laboratory" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/tracseq-gateway /opt/tracseq-gateway
# A new volume that is mounted there, for resumable uploads, belongs to the gateway's user.
RUN install --directory --owner=gateway --group=gateway --mode=0700 /var/lib/tracseq-gateway
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ.get('PORT', '8000') + '/health/live', timeout=4)"]
# Sockets and metrics lie in /tmp: with a read-only root, mount a tmpfs there.
CMD ["twistd", "--nodaemon", "--pidfile=", "tracseq-gateway"]
