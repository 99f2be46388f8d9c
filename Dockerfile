# The server and its web page:  docker build -t emodetect . && docker run -p 127.0.0.1:8000:8000 -e EMODETECT_TOKEN=$(openssl rand -hex 16) emodetect
FROM python:3.12-slim
# System libraries that OpenCV needs.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY . .
# Serving does not need TensorFlow, the largest package, nor what only that needs. Removed in the same step, so that no
# layer keeps them.
RUN pip install --no-cache-dir -c constraints.txt '.[serve]' \
    && pip uninstall --yes tensorflow keras libclang grpcio
RUN useradd --create-home emodetect
USER emodetect
EXPOSE 8000
HEALTHCHECK --start-period=10s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
# On an address other than loopback, the server needs a token: EMODETECT_TOKEN.
CMD ["emodetect", "serve", "--host", "0.0.0.0"]
