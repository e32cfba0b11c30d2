# Sourced by the other scripts: the repository root as working directory, and .venv with the project in it.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Install the project with an extra ("", "reference" or "dev") unless nothing has changed since the last time.
install_project() {
  local stamp=".venv/installed" known="" extra
  if [[ -e "${stamp}" ]]; then
    known="$(<"${stamp}")"
  fi
  for extra in dev reference ""; do # each holds those that follow; what was once there stays
    if [[ "${extra}" == "$1" || "${extra}" == "${known}" ]]; then
      break
    fi
  done
  if [[ ! -x .venv/bin/python ]]; then
    local python
    python="$(find_python)"
    echo "Making .venv with ${python}"
    "${python}" -m venv .venv
  fi
  if [[ ! -e "${stamp}" || "${extra}" != "${known}" \
    || -n "$(find pyproject.toml setup.py models/native/src -newer "${stamp}")" ]]; then
    echo "Installing into .venv (the first time this takes some minutes)"
    install_packages ".${extra:+[${extra}]}"
    echo "${extra}" >"${stamp}"
  fi
}

# PyTorch from its CPU index, everything else from where packages come from here: by uv where it is there, otherwise by
# pip. Where an index was named for all packages, or the CPU index does not answer, the settings that are there decide,
# pip's before uv's: it may know of packages on this machine.
install_packages() {
  local -a pip=(.venv/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on)
  local -a uv=(uv pip install --python .venv/bin/python --no-sources)
  local cpu_torch=""
  if [[ -n "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]] && command -v uv >/dev/null; then
    pip=("${uv[@]}")
  elif ! .venv/bin/python -m pip config list | grep -Eq "[.](index-url|no-index)="; then
    if cpu_torch="$(.venv/bin/python scripts/_cpu_torch.py)" && command -v uv >/dev/null; then
      pip=("${uv[@]}")
    fi
  fi
  if [[ -n "${cpu_torch}" ]]; then
    # shellcheck disable=SC2086 # words
    "${pip[@]}" --no-deps ${cpu_torch}
  fi
  "${pip[@]}" -e "$1"
}

# The first Python that is new enough.
find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.11 python3.12 python3.13; do
    if "${candidate}" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "${candidate}"
      return
    fi
  done
  echo "Python 3.11 or newer is needed; name it with PYTHON=/path/to/python" >&2
  return 1
}
