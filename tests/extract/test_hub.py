"""Weights from the Hugging Face hub, against a server that answers as the hub does."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import safetensors.torch

from abaw.extract import EmbeddingRequest, WeightsError, load_backbone

from .test_checkpoints import tensors_of

pytestmark = pytest.mark.heavy

COMMIT = "0" * 40


@pytest.fixture
def hub(tmp_path: Path, monkeypatch):
    """A hub with one model, `me/face`, and what was asked of it."""
    import huggingface_hub.constants as constants
    from huggingface_hub import hf_api

    weights = safetensors.torch.save(tensors_of("denseface"))
    card = {"id": "me/face", "cardData": {"license": "cc-by-nc-4.0"}, "siblings": [], "tags": []}
    asked = []

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.answer(with_body=False)

        def do_GET(self):
            self.answer(with_body=True)

        def answer(self, *, with_body: bool):
            asked.append(f"{self.command} {self.path}")
            if self.path == "/me/face/resolve/main/model.safetensors":
                body = weights
            elif self.path.startswith("/api/models/me/face"):
                body = json.dumps(card).encode()
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", address)
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    yield asked
    server.shutdown()
    thread.join()
    server.server_close()


def request(weights: str, licence: str | None = None) -> EmbeddingRequest:
    return EmbeddingRequest(
        name="x", backbone="denseface", weights=weights, settings={}, licence=licence
    )


def test_the_licence_comes_from_the_models_card(hub):
    loaded = load_backbone(request("hf-hub:me/face"))
    assert loaded.provenance["licence"] == "cc-by-nc-4.0"
    assert loaded.provenance["weights_hub_id"] == "me/face"
    assert loaded.provenance["weights_source"] == "me/face"
    assert loaded.spec == load_backbone(request("random:0")).spec
    before = len(hub)
    again = load_backbone(request("hf-hub:me/face", licence="mine"))
    assert again.provenance["licence"] == "mine"
    # The weights are in the local cache; only the card is asked for again.
    assert all("/api/models/" in line for line in hub[before:]), hub


def test_a_model_without_weights_of_a_known_name_is_named(hub):
    with pytest.raises(WeightsError, match=r"me/other must have model\.safetensors or pytorch"):
        load_backbone(request("hf-hub:me/other"))
