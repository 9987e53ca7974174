/** @file Names of the conformance cases by kind. */

/** Every case that is a decoder: the others are encoders. */
export const DECODERS = /^(llama.*|mistral.*|qwen\d.*|gemma.*|phi3.*|gpt2|gpt-neox.*|opt.*)$/
