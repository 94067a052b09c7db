"""Measure a live OpenAI-compatible endpoint: vLLM, SGLang, TensorRT-LLM, Dynamo."""
