#!/bin/bash
# What only a GPU can show, in one call: benchmarks/gpu.sh [OUT]. Figures end in OUT (default: gpu-figures).
# The tests marked gpu; steps at the paper's size and of BERT-base in bf16 beside other libraries; five stacked seeds
# beside one; the paper's reductions on MNIST, five seeds each (EPOCHS, default 100); MINFORM_DATA holds MNIST.
set -u
cd "$(dirname "$0")/.."
OUT=${1:-gpu-figures}; PYTHON=${PYTHON:-.venv/bin/python}; EPOCHS=${EPOCHS:-100}; LIMIT=${LIMIT:-3600}
mkdir -p "$OUT"
export PYTHONPATH="$PWD" OMP_NUM_THREADS=1
minform() { "$PYTHON" -m minform_cli "$@"; }

part() { # NAME COMMAND...: what it prints, and its seconds
    local name=$1 started; shift; started=$(date +%s)
    timeout "$LIMIT" "$@" > "$OUT/$name.txt" 2>&1
    echo "$name: exit code $?, $(($(date +%s) - started)) s" | tee -a "$OUT/parts.txt"
}
stacked() { # EPOCHS SEEDS OPTION...: the baseline at the paper's size
    local epochs=$1 seeds=$2; shift 2
    minform compare --preset paper-mnist-6 --variant baseline --seeds "$seeds" --set train.epochs="$epochs" \
        --out "$OUT/runs/baseline-$seeds$*" --quiet --format json "$@"
}
table() {
    minform compare --study paper-reductions-mnist --seeds 5 --set train.epochs="$EPOCHS" --stack-seeds \
        --out "$OUT/runs/paper" --quiet --format markdown
}
export -f minform stacked table; export PYTHON OUT EPOCHS

part tests "$PYTHON" -m pytest -n 0 -q -m gpu tests/training tests/data
part step "$PYTHON" benchmarks/step.py train cifar --device cuda --rounds 5
part bert-base "$PYTHON" benchmarks/step.py bert-base --device cuda --bf16 --rounds 5
part one-seed bash -c "stacked 3 1"
part five-seeds bash -c "stacked 3 5 --stack-seeds"
part paper bash -c table
