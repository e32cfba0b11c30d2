"""How the embedded voice is made: speech by espeak-ng, a codec, a talker. Nothing here is imported when speaking."""
