"""Which encoder, which layer, and does transfer help at all: (embeddings, y) -> numbers, tables, reports."""
