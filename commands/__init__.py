"""The command line: `qwen3-tts`, a file for each of its commands. It may import everything; nothing imports it."""
