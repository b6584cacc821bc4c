# Builds Syncline with its pinned packages into an image that runs as a plain user.
FROM python:3.13-slim AS build
WORKDIR /build
RUN python -m venv /opt/syncline
COPY requirements/build.txt requirements/runtime.txt requirements/
RUN /opt/syncline/bin/python -m pip install --no-cache-dir --require-hashes -r requirements/runtime.txt \
 && python -m pip install --no-cache-dir --require-hashes -r requirements/build.txt
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY docs docs
COPY src src
RUN python -m pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir dist . \
 && /opt/syncline/bin/python -m pip install --no-cache-dir --no-deps dist/*.whl

FROM python:3.13-slim
RUN useradd --system --create-home --home-dir /var/lib/syncline --shell /usr/sbin/nologin syncline
COPY --from=build /opt/syncline /opt/syncline
ENV PATH=/opt/syncline/bin:$PATH PYTHONUNBUFFERED=1 SYNCLINE_HOME=/var/lib/syncline SYNCLINE_LOG_FORMAT=json
USER syncline
WORKDIR /var/lib/syncline
VOLUME /var/lib/syncline
EXPOSE 8750
ENTRYPOINT ["syncline"]
CMD ["serve", "--host", "0.0.0.0"]
