# One image for all processes: web, workers, sweeper, commands. Kernels are compiled and static files collected in it.
#
#   docker build --build-arg TORCH_INDEX=… -t philately .                            for CPUs
#   docker build --build-arg TORCH_INDEX=… --build-arg TORCH=gpu -t philately-gpu .  for NVIDIA GPUs
#
# TORCH_INDEX: address of PyTorch's package index for CPUs or for one version of CUDA, as its installation page has it;
# compose takes it from .env.
FROM python:3.11-slim-bookworm

ARG TORCH=cpu
ARG TORCH_INDEX=""

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin philately \
    && mkdir /app /data && chown philately: /app /data
WORKDIR /app

# torch first and alone: of the wrong kind, it would bring gigabytes along
COPY .ci/check_torch.py .ci/check_torch.py
COPY requirements.txt .
RUN pip install --no-deps ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.txt)" \
    && python .ci/check_torch.py "$TORCH" \
    && pip install ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt

COPY --chown=philately: . .
USER philately

# kernels are kept for the kind of processor that builds; on another each process compiles them once, for half a minute
RUN python -m hull && python -m validation.compiling \
    && STATIC_ROOT=/app/static-collected python manage.py collectstatic --noinput --verbosity 0 \
    && rm -rf /app/data

# what verdicts name as the code that made them: --build-arg COMMIT=$(git rev-parse HEAD), with compose COMMIT=… before it
ARG COMMIT=""
ENV CODE_COMMIT=$COMMIT DATA_DIR=/data STATIC_ROOT=/app/static-collected OMP_NUM_THREADS=1
VOLUME /data
EXPOSE 8000
CMD ["gunicorn", "philately.wsgi", "--config", "python:philately.service.web_config", "--bind", "0.0.0.0:8000", "--graceful-timeout", "30", "--worker-tmp-dir", "/dev/shm"]
