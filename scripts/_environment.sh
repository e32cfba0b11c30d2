# Sourced by the other scripts: the repository root as working directory, and .venv with the project in it.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Install the project with the given extras ("", "[reference]" or "[dev]") unless nothing has changed since the last time.
install_project() {
  local extras="$1"
  local stamp=".venv/installed${extras}"
  if [[ -e ".venv/installed[dev]" ]]; then
    stamp=".venv/installed[dev]" # holds everything
    extras="[dev]"
  fi
  if [[ ! -x .venv/bin/python ]]; then
    local python
    python="$(find_python)"
    echo "Making .venv with ${python}"
    "${python}" -m venv .venv
  fi
  if [[ ! -e "${stamp}" || -n "$(find pyproject.toml setup.py models/native/src -newer "${stamp}")" ]]; then
    echo "Installing into .venv (the first time this takes some minutes)"
    .venv/bin/python -m pip install --disable-pip-version-check --quiet --progress-bar on -e ".${extras}"
    touch "${stamp}"
  fi
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
