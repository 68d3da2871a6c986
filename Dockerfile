# The server with its plugins. Its data is in /data; RUNTIME_MASTER_KEY has to be set.
FROM python:3.13-slim AS build
COPY . /src
RUN /src/deploy/install /opt/buntime

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home buntime
COPY --from=build /opt/buntime /opt/buntime
COPY deploy/healthy /opt/buntime/bin/healthy
COPY deploy/sqlite.jsonc /etc/buntime/buntime.jsonc
ENV PATH=/opt/buntime/bin:$PATH \
    BUNTIME_CONFIG=/etc/buntime/buntime.jsonc \
    BUNTIME_ENV=production \
    HOST=0.0.0.0 \
    RUNTIME_LOG_FORMAT=json \
    RUNTIME_STATE_DIR=/data/.buntime
USER buntime
WORKDIR /data
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["healthy"]
ENTRYPOINT ["buntime"]
CMD ["serve"]
