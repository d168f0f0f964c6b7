# One image for every part of Fleethand; compose.yaml tells each container what to be.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

WORKDIR /opt/fleethand
COPY pyproject.toml constraints.txt README.md ./
COPY common common
COPY dispatcher dispatcher
COPY worker worker
RUN pip install -c constraints.txt '.[worker,dispatcher,dashboard]' \
    && useradd --system --create-home --uid 10001 fleethand \
    && install -d -o fleethand -m 0700 /etc/fleethand/keys /etc/fleethand/keys/signing /etc/fleethand/login \
    && for role in aggregator beat dashboard dispatcher registrar; do \
         install -d -o fleethand -m 0700 "/etc/fleethand/logins/$role"; \
       done

WORKDIR /
CMD ["fleethand", "--help"]
