"""`python -m commands`: the same as `qwen3-tts`."""

import sys

from commands.main import main

sys.exit(main())
