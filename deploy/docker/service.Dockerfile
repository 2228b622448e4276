# One recipe for every service: docker build --build-arg SERVICE=catalog -f deploy/docker/service.Dockerfile .
# Only what running needs: no embedded database or broker, no sandbox, no command for development, no root.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /build
RUN python -m venv /opt/vitrin
COPY requirements/run.txt requirements/run.txt
RUN /opt/vitrin/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY services services
RUN pip install --no-cache-dir --disable-pip-version-check hatchling==1.29.0 \
    && rm -rf services/vitrin/sandbox services/vitrin/kit/embedded \
    && pip wheel --no-deps --no-build-isolation --wheel-dir /dist . \
    && /opt/vitrin/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /dist/*.whl

FROM python:${PYTHON}
ARG SERVICE
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin vitrin
COPY --from=build /opt/vitrin /opt/vitrin
# Where catalog keeps acknowledged webhooks, and retargeting events; a volume is mounted there, which must outlive the container.
RUN install -d -o vitrin -g root -m 0700 /spool
COPY deploy/kafka/topics.yaml /etc/vitrin/topics.yaml
ENV PATH=/opt/vitrin/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    VITRIN_SERVICE=${SERVICE} \
    VITRIN_TOPICS_FILE=/etc/vitrin/topics.yaml \
    VITRIN_LOG_FORMAT=json
USER vitrin
STOPSIGNAL SIGTERM
ENTRYPOINT ["sh", "-c", "exec vitrin serve \"$VITRIN_SERVICE\" --role \"${VITRIN_ROLE:-all}\""]
