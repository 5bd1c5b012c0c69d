#!/usr/bin/env bash
# On a machine with a GPU and without network: keeps what .bundle/ brings, then runs a module.
#   bash benchmarks/gpu.sh [benchmarks.gpu check]
# What is kept lies beside the checkout, which the next call may bring anew: other pictures, say.
set -euo pipefail
kept=${PATCHWISE_GPU:-$HOME/patchwise-gpu}
mkdir -p "$kept/pictures" "$kept/site"
if compgen -G ".bundle/wheels/*.whl" > /dev/null; then
  python3 -m pip install --quiet --no-index --no-deps --upgrade --target "$kept/site" .bundle/wheels/*.whl
fi
for part in .bundle/pictures.*.tar; do
  if [ -f "$part" ]; then tar --extract --file "$part" --directory "$kept/pictures"; fi
done
if [ $# -gt 0 ]; then
  export PYTHONPATH=$kept/site:$PWD PATCHWISE_WORK=$kept/work PATCHWISE_DATA=$kept/pictures
  exec python3 -m "$@"
fi
