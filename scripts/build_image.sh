#!/usr/bin/env bash
# Build the image without a Docker engine: buildah in a chroot, on a base made by debootstrap (both are Debian packages).
#
#   scripts/build_image.sh TAG [ARGUMENT OF buildah build ...]
#   scripts/build_image.sh segwright:cu126 --build-arg VARIANT=cu126
#
# SUITE  the Debian release of the base: trixie by default
# Needs root, and a network that reaches Debian and Python packages. Images go where buildah keeps them; from there
# `buildah push segwright:cu126 docker://REGISTRY/segwright:cu126` or `... docker-archive:segwright.tar` takes them on.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?"usage: $0 TAG [ARGUMENT OF buildah build ...]"}
shift
suite=${SUITE:-trixie}
base=localhost/debian:$suite-minbase

if ! buildah inspect --type image "$base" > /dev/null 2>&1; then
    root=$(mktemp --directory)
    trap 'rm --recursive --force "$root"' EXIT
    debootstrap --variant=minbase "$suite" "$root"
    # As in Debian's own slim images.
    rm --recursive --force "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/usr/share/{doc,info,locale,man}/*
    container=$(buildah from scratch)
    buildah copy --quiet "$container" "$root" / > /dev/null
    buildah commit --quiet --rm "$container" "$base"
fi
buildah build --isolation chroot --pull-never --build-arg BASE="$base" --tag "$tag" "$@" .
