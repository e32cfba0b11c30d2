"""One utterance, from what was asked for to samples. Knows no HTTP: what comes in are requests of `models`, texts and
names, what goes out is a Speech or a voice, so that a route, a socket or a job speaks through the same door.

Conductor.in_voice, described and like_clip begin a Speech; VoiceService keeps voices; Router knows the models;
RequestRecord collects what is known of the request that is being answered.
"""

from deployments.speech.clip import Clip, decode_audio
from deployments.speech.conductor import Conductor
from deployments.speech.record import RequestRecord, current_record
from deployments.speech.router import Router
from deployments.speech.utterance import Speech
from deployments.speech.voices import VoiceService

__all__ = [
    "Clip",
    "Conductor",
    "RequestRecord",
    "Router",
    "Speech",
    "VoiceService",
    "current_record",
    "decode_audio",
]
