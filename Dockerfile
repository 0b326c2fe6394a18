# A Linux with all that gradus needs, for machines that have none of their own:
#   docker build -t gradus - < Dockerfile
#   docker run -it --rm -v "$PWD:/gradus" gradus
FROM debian:12
RUN apt-get update && apt-get install -y --no-install-recommends \
    g++ cmake ninja-build libopenblas-openmp-dev doctest-dev git ca-certificates
WORKDIR /gradus
CMD ["bash"]
