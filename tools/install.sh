#!/bin/sh
# Creates $VENV with the pinned versions. Needs Python >= 3.11 only; conda users have environment.yml.
set -eu
"$PYTHON" - <<'PY'
import sys
if sys.version_info < (3, 11):
    sys.exit(f"arlib needs Python >= 3.11; this is {sys.version.split()[0]}. Name another: make PYTHON=python3.12 ...")
PY
echo "installing the pinned versions into $VENV (torch is the large one: about 5 GB in all)"
"$PYTHON" -m venv "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable '.[book,cpu,training,cluster,dev]'
if ! "$VENV/bin/python" -c 'import cv2' 2>/dev/null; then
    echo "OpenCV's display library finds no libGL on this machine: its headless build takes its place"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps \
        --constraint constraints.txt opencv-contrib-python-headless
    "$VENV/bin/python" -c 'import cv2'
fi
"$VENV/bin/python" -c 'from arlib.networks import load_backbone; load_backbone("vgg_tiny", weights="random")'
