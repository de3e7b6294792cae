# The commands in a container. docs/machines.md says what to type.
#
#   docker build --tag crn .                          # for CPUs
#   docker build --tag crn-gpu --build-arg GPU=1 .    # with CUDA's libraries; the host brings the driver
#   docker run --rm --gpus all --user "$(id -u):$(id -g)" --volume "$PWD/runs:/crn/runs" crn-gpu train --demo
ARG PYTHON=3.12
FROM python:${PYTHON}-slim
ARG GPU=0
WORKDIR /crn

# The libraries first: they change seldom, and are most of the image.
COPY requirements.txt requirements-gpu.txt ./
RUN case "$GPU" in \
        0) requirements=requirements.txt ;; \
        1) requirements=requirements-gpu.txt ;; \
        *) echo "GPU=$GPU: expected 0 or 1" >&2; exit 2 ;; \
    esac && pip install --no-cache-dir --requirement "$requirements"

COPY pyproject.toml README.md LICENSE ./
COPY crn_tf/ crn_tf/
RUN pip install --no-cache-dir --no-deps .

# Not root. Whoever it runs as (--user) may write here: folders that are mounted belong to others.
RUN useradd --uid 1000 --create-home crn \
    && mkdir runs data vgg_weights results \
    && chmod 777 runs data vgg_weights results . \
    && chown --recursive crn runs data vgg_weights results
USER crn
ENV HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
VOLUME ["/crn/runs", "/crn/data", "/crn/vgg_weights"]
ENTRYPOINT ["crn"]
CMD ["--help"]
