#!/usr/bin/env python3
"""Writes what Hugging Face transformers' beam search finds on the demo model, in float32, for BeamGoldenTests.

    beam_goldens.py [--model tests/assets/models/demo] [--prompts tests/assets/goldens/demo-greedy.json]
                    [--out tests/assets/goldens/demo-beams.json]

Needs torch and transformers; runs on the CPU in a minute or two. Searches that float64 decides differently are left out: there
the last bits choose. Each entry names its prompt by its place in the prompts' file.
"""
import argparse
import json

import torch
from transformers import AutoModelForCausalLM, GenerationConfig

END = [0, 2]  # as generation_config.json has them
PROMPTS = 12
# width, length penalty, early stopping, new tokens
SEARCHES = [
    (2, 1.0, False, 32),
    (4, 1.0, False, 48),
    (4, 0.0, True, 32),
    (4, 2.0, "never", 40),
    (5, 0.5, "never", 24),
    (8, 1.0, True, 24),
    (3, -1.0, False, 24),
]


def search(model, prompt, width, penalty, early, tokens):
    config = GenerationConfig(
        do_sample=False, num_beams=width, num_return_sequences=width, length_penalty=penalty, early_stopping=early,
        max_new_tokens=tokens, eos_token_id=END, pad_token_id=1535, return_dict_in_generate=True, output_scores=True)
    ids = torch.tensor([prompt])
    with torch.no_grad():
        out = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=config)
    found = []
    for row, score in zip(out.sequences[:, len(prompt):].tolist(), out.sequences_scores.tolist()):
        end = next((at for at, token in enumerate(row) if token in END), len(row) - 1)
        found.append({"ids": row[:end + 1], "score": round(score, 6)})
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="tests/assets/models/demo")
    parser.add_argument("--prompts", default="tests/assets/goldens/demo-greedy.json")
    parser.add_argument("--out", default="tests/assets/goldens/demo-beams.json")
    args = parser.parse_args()
    torch.manual_seed(0)
    single, double = (
        AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation="eager").eval() for dtype in (torch.float32, torch.float64))
    with open(args.prompts, encoding="utf-8") as file:
        prompts = [entry["prompt_ids"] for entry in json.load(file)][:PROMPTS]
    entries, dropped = [], 0
    for place, prompt in enumerate(prompts):
        for width, penalty, early, tokens in SEARCHES:
            found = search(single, prompt, width, penalty, early, tokens)
            if [one["ids"] for one in found] != [one["ids"] for one in search(double, prompt, width, penalty, early, tokens)]:
                dropped += 1
                continue
            entries.append({"prompt": place, "width": width, "length_penalty": penalty, "early_stopping": str(early).lower(), "max_tokens": tokens, "outputs": found})
    with open(args.out, "w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n")
    print(f"{len(entries)} searches, {dropped} left out")


if __name__ == "__main__":
    main()
