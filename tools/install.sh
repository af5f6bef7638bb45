#!/bin/sh
# Creates $VENV with the pinned versions. Needs Python >= 3.11 only; conda users have environment.yml.
# uv installs, from the package index; pip does where uv cannot be had, or does not come through.
# TORCH=cpu takes PyTorch's builds without CUDA, from its own index: a tenth of the size.
set -eu
"$PYTHON" - <<'PY'
import sys
if sys.version_info < (3, 11):
    sys.exit(f"arlib needs Python >= 3.11; this is {sys.version.split()[0]}. Name another: make PYTHON=python3.12 ...")
PY
case "${TORCH:=}" in
    "") size="torch is the large one: about 5 GB in all" ;;
    cpu) size="torch without CUDA: about 2 GB in all" ;;
    *) echo "TORCH=$TORCH: there is TORCH=cpu, or none" >&2; exit 1 ;;
esac
echo "installing the pinned versions into $VENV ($size)"
"$PYTHON" -m venv "$VENV"
python="$VENV/bin/python"

by_pip() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }
by_uv() { "$python" -m uv pip install --quiet --python "$python" ${TORCH:+--torch-backend "$TORCH"} "$@"; }
install() { if [ "$uv" ]; then by_uv "$@"; else by_pip "$@"; fi; }

uv=yes
by_pip --constraint constraints.txt uv 2>/dev/null || uv=
if [ -z "$uv" ] && [ "$TORCH" ]; then echo "TORCH=cpu needs uv, and it cannot be had" >&2; exit 1; fi
if ! install --constraint constraints.txt --editable '.[book,cpu,training,cluster,dev]'; then
    if [ -z "$uv" ]; then exit 1; fi
    if [ "$TORCH" ]; then
        echo "PyTorch without CUDA cannot be had: without TORCH=cpu its usual build is installed, which runs on a processor too" >&2
        exit 1
    fi
    echo "uv could not install them: pip tries"
    uv=
    install --constraint constraints.txt --editable '.[book,cpu,training,cluster,dev]'
fi
if ! "$python" -c 'import cv2' 2>/dev/null; then
    echo "OpenCV's display library finds no libGL on this machine: its headless build takes its place"
    install --force-reinstall --no-deps --constraint constraints.txt opencv-contrib-python-headless
    "$python" -c 'import cv2'
fi
"$python" -c 'from arlib.networks import load_backbone; load_backbone("vgg_tiny", weights="random")'
