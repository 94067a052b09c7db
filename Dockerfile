# One image for both programs: `headgate` is the entrypoint, `headgate-profiler` lies beside it.
# Runs as any user on a read-only root; only the temporary folder must be writable.
ARG PYTHON_IMAGE=python:3.12-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Dependencies first: this layer changes only when the lock does. The environment gets no pip of its own, and
# what AKS asks for beside the rest.
COPY requirements-azure.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/headgate \
 && pip --python /opt/headgate/bin/python install --require-hashes --only-binary :all: -r requirements-azure.txt \
 && pip install --require-hashes --only-binary :all: -r requirements-build.txt

COPY pyproject.toml README.md LICENSE ./
COPY config ./config
COPY models ./models
COPY profiler ./profiler
COPY planner ./planner
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheel . \
 && pip --python /opt/headgate/bin/python install --no-deps --no-index /wheel/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Headgate" \
      org.opencontainers.image.description="Forecasting-driven autoscaler for disaggregated LLM inference on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/headgate /opt/headgate
# Bytecode was compiled at install time: a read-only root could not keep it.
ENV PATH=/opt/headgate/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp
WORKDIR /tmp
# A number, so that Kubernetes can check runAsNonRoot without reading the image's user list.
USER 65532:65532
ENTRYPOINT ["headgate"]
CMD ["--help"]
